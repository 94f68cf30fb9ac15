// What is asked of cuDNN, as data: one description of a convolution with everything fused around it, and the graph of
// operations that it stands for. Needs no CUDA, so that it is tested anywhere.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/ops.h"

namespace dcl::cuda {

/// A convolution pass with what is fused to it. Activations and filter have the descriptor's dtype; bias is f32;
/// the products are added up in f32 and every output is rounded once, to its own type.
///  forward          y = [relu](conv(x, filter) [+ bias] [+ residual])
///  backward_data    dx = [dx +] conv'(dy, filter); some engines round a bf16 conv' before they add it to dx
///  backward_filter  dfilter = conv''(x, dy), in the descriptor's dtype
struct ConvPattern {
  ConvPass pass = ConvPass::forward;
  ConvDesc conv;
  F32Math math = F32Math::exact;                      ///< of f32 operands; always exact for bf16
  bool bias = false, residual = false, relu = false;  ///< forward
  bool add = false;                                   ///< backward_data
  bool operator==(const ConvPattern&) const = default;
};

ConvPattern pattern_of(const ConvDesc& conv, ConvPass pass, Accum accum, F32Math math);
ConvPattern pattern_of(const FusedConvDesc& fused, F32Math math);

/// The convolution by itself, to which a pass can add the rest of the pattern (ComposedPlan) without breaking the
/// contract of its roundings; nothing when there is no rest, or when it cannot.
std::optional<ConvPattern> convolution_alone(const ConvPattern& pattern);

/// Bytes that an engine may want beside the operands. Engines that bring operands into another layout first, as the
/// fast ones for f32 do, want room for all of them.
size_t most_workspace(const ConvPattern& pattern);

/// One word per property, no line breaks or tabs; different patterns have different texts. Key of the plan cache.
std::string key_text(const ConvPattern& pattern);
/// How far apart two patterns are, by their key texts: 0 for one pattern, more the more one has to compute than the
/// other, and infinite where they differ in anything but batch and extent, or by more than what has the same engines.
double key_distance(std::string_view key, std::string_view other);

/// Names of a graph's tensors that live in memory; intermediate ones have numbers from kFirstIntermediate.
enum TensorId : int64_t { kX = 1, kFilter, kY, kBias, kResidual, kFirstIntermediate = 16 };

struct GraphTensor {
  int64_t id = 0;
  DType dtype = DType::f32;
  std::array<int64_t, 4> dims{};     ///< N, C, H, W (filters K, C, R, S), whatever the layout
  std::array<int64_t, 4> strides{};  ///< in elements: channels innermost
  bool in_memory() const { return id < kFirstIntermediate; }
};

enum class NodeKind : uint8_t {
  conv_forward,          ///< x, filter -> y
  conv_backward_data,    ///< y, filter -> x
  conv_backward_filter,  ///< x, y -> filter
  add,                   ///< a, b -> result
  relu,                  ///< a -> result
};

struct GraphNode {
  NodeKind kind;
  std::vector<int64_t> inputs;  ///< tensor ids
  int64_t output = 0;
  bool onto_output = false;  ///< conv_backward_data: adds to what the output holds
};

struct ConvGraph {
  std::vector<GraphTensor> tensors;
  std::vector<GraphNode> nodes;
  int64_t stride = 1, pad = 0;
  bool f32_products = false;  ///< no operand may be rounded below f32

  const GraphTensor& tensor(int64_t id) const;
  /// Ids of the tensors in memory, ascending.
  std::vector<int64_t> operands() const;
};

ConvGraph graph_of(const ConvPattern& pattern);

}  // namespace dcl::cuda
