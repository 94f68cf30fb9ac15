// The network for evaluation: batch norm folded into the convolutions, ReLU and residual inside them.
#pragma once

#include "nn/plan.h"

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
  /// have changed. The store may be released afterwards.
  void fold(const ParameterStore& store);

  TensorRef input() const { return plan_.tensor(input_); }        ///< [batch, h, w, 3] dtype; the caller fills it
  TensorRef features() const { return plan_.tensor(features_); }  ///< f32 [batch, F], not normalised
  TensorRef embeddings() const {
    return plan_.tensor(embeddings_);
  }  ///< f32 [batch, D], rows of unit length; with head

  /// features (and embeddings) of input(). Throws Error{internal} before fold().
  void run() const;

  const InferenceShape& shape() const { return shape_; }
  const PlanMemory& memory() const { return plan_.memory(); }

 private:
  /// One convolution or linear layer with what is folded into it.
  struct Folded {
    FusedConvDesc desc;
    std::string weight, norm, bias;  ///< entry names: weight, prefix of the batch norm (or empty), bias (or empty)
    Operand packed, packed_bias;
  };
  Operand add(Operand x, const FusedConvDesc& desc, Folded names, Operand residual, Operand y);

  ModelConfig config_;
  InferenceShape shape_;
  Plan plan_;
  std::vector<Folded> folded_;
  Operand input_, features_, embeddings_;
  bool ready_ = false;
};

}  // namespace dcl
