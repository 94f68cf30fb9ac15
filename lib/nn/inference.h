// The network for evaluation: batch norm folded into the convolutions, ReLU and residual inside them.
#pragma once

#include <string>
#include <vector>

#include "nn/plan.h"
#include "nn/resnet.h"

namespace dcl {

struct InferenceShape {
  int64_t batch = 1;
  int64_t height = 96, width = 96;
  DType dtype = DType::f32;  ///< of images and activations; features and embeddings are f32
  bool head = false;         ///< embeddings too
};

class InferencePlan {
 public:
  /// `shape.head` needs `config.head`.
  InferencePlan(Backend& backend, const ModelConfig& config, const InferenceShape& shape);

  /// Takes the values and running statistics of the store (folded in double): before the first run and whenever they
  /// have changed. The store, of model `config`, may be released afterwards.
  void fold(const ParameterStore& store);

  /// [batch, h, w, 3] dtype; the caller fills it.
  TensorRef input() const { return plan_.tensor(input_); }
  /// f32 [batch, F], not normalised.
  TensorRef features() const { return plan_.tensor(features_); }
  /// f32 [batch, D], rows of unit length; with head.
  TensorRef embeddings() const { return plan_.tensor(embeddings_); }

  /// Computes features (and embeddings) of input(). Throws Error{internal} before fold().
  void run() const;

  const ModelConfig& config() const { return config_; }
  const InferenceShape& shape() const { return shape_; }
  const PlanMemory& memory() const { return plan_.memory(); }

 private:
  /// A convolution or linear layer and what is folded into it; names of entries, empty where there is none.
  struct Layer {
    FusedConvDesc desc;
    std::string weight, norm, bias;  ///< norm: prefix
    Operand packed, packed_bias;
  };

  /// y = null: a new slot. Returns y.
  Operand add(Layer layer, Operand x, Operand residual = {}, Operand y = {});
  Operand add_unit(const ConvNormSpec& spec, Operand x, bool relu, Operand residual = {});
  Operand add_block(const BlockSpec& spec, Operand x);
  void add_head();
  void fold_layer(const Layer& layer, const ParameterStore& store, TensorRef staging, std::vector<float>& host);

  ModelConfig config_;
  InferenceShape shape_;
  Plan plan_;
  std::vector<Layer> layers_;
  Operand input_, features_, embeddings_;
  bool folded_ = false;
};

}  // namespace dcl
