// Writes the ResNet trunk with batch statistics into a plan: forward, and backward by walking the units in reverse.
#pragma once

#include <vector>

#include "nn/network.h"
#include "nn/resnet.h"

namespace dcl {

class TrunkWriter {
 public:
  /// keep_activations: from forward to backward, instead of recomputing them.
  TrunkWriter(Plan& plan, const ModelConfig& config, const NetworkShape& shape, bool keep_activations);

  /// images [n,h,w,3] -> features f32 [n,F].
  void forward(Operand images, Operand features);
  /// After forward with shape.backward: gradients of all trunk parameters from that of the features.
  void backward(Operand dfeatures);

  /// Statistics of x into `saved`, of the batch or of the store as the shape says.
  void statistics(const BatchNormDesc& desc, const std::string& name, Operand x, Operand saved);

 private:
  /// A convolution with its batch norm, as placed in this plan.
  struct Unit {
    ConvNormSpec names;
    ConvDesc conv;
    BatchNormDesc norm;
    Operand input;    ///< of the convolution; none where backward recomputes it from `source`
    int source = -1;  ///< unit whose relu(norm(y)) is the input
    Operand y, saved;
  };
  struct Block {
    std::vector<int> main;
    int downsample = -1;
    Operand output;
    Operand signs;        ///< of the output, where the backend keeps them: backward reads them in its place
    bool paired = false;  ///< the downsampling path ends in the same op as the main one
  };

  /// A new unit with its convolution and statistics; `source` >= 0: x is that unit's activation.
  int add_unit(const ConvNormSpec& spec, Operand x, int source);
  void apply(const Unit& unit, Operand residual, Operand y, Operand signs = {});
  /// relu(norm(y)) of a unit: in place when nothing needs y any more.
  Operand activation(int unit);
  Operand add_block(const BlockSpec& spec, Operand x, int source);

  Operand input_for_backward(const Unit& unit);
  Plan::Norm norm_of(const Unit& unit, Operand dx) const;
  void norm_backward(const Unit& unit, Operand dy, Operand output, Operand dx, Operand dresidual);
  void filter_backward(const Unit& unit, Operand input, Operand dy);
  void data_backward(const Unit& unit, Operand dy, Operand dx, Accum accum);
  /// dout becomes garbage or the result; returns the gradient of the block's input.
  Operand block_backward(const Block& block, Operand dout);
  void stem_backward(Operand dy);

  Plan& plan_;
  ResNetSpec spec_;
  NetworkShape shape_;       ///< with backward, which reads the convolutions' outputs
  bool keep_activations_;    ///< so that it reads these too
  std::vector<Unit> units_;  ///< [0] is the stem
  std::vector<Block> blocks_;
  MaxPoolDesc max_pool_;
  Operand argmax_;
  AveragePoolDesc average_pool_;
};

}  // namespace dcl
