// From a convolution to the graph that cuDNN is asked for.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "cuda/conv_pattern.h"
#include "cuda/engine_choice.h"

namespace dcl::cuda {
namespace {

using Extents = std::array<int64_t, 4>;

const ConvDesc kConv{
    .n = 2, .h = 9, .w = 7, .c = 5, .k = 11, .r = 3, .s = 2, .stride = 2, .pad = 1, .dtype = DType::bf16};
// y: (9 + 2 - 3) / 2 + 1 = 5 by (7 + 2 - 2) / 2 + 1 = 4

/// Where element (a, b, c, d) of the tensor's dims lies in memory must be where NHWC, or KRSC, has it.
void expect_channels_last(const GraphTensor& t) {
  const auto [outer, channels, rows, columns] = t.dims;
  for (int64_t n = 0; n < outer; ++n)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t h = 0; h < rows; ++h)
        for (int64_t w = 0; w < columns; ++w)
          ASSERT_EQ(n * t.strides[0] + c * t.strides[1] + h * t.strides[2] + w * t.strides[3],
                    ((n * rows + h) * columns + w) * channels + c);
}

TEST(ConvPattern, TensorsHaveTheShapesOfTheConvolution) {
  for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_filter}) {
    const ConvGraph graph = graph_of(pattern_of(kConv, pass, Accum::overwrite, F32Math::exact));
    EXPECT_EQ(graph.operands(), (std::vector<int64_t>{kX, kFilter, kY}));
    EXPECT_EQ(graph.tensor(kX).dims, (Extents{2, 5, 9, 7}));
    EXPECT_EQ(graph.tensor(kFilter).dims, (Extents{11, 5, 3, 2}));
    EXPECT_EQ(graph.tensor(kY).dims, (Extents{2, 11, 5, 4}));
    for (const GraphTensor& t : graph.tensors) {
      expect_channels_last(t);
      EXPECT_EQ(t.dtype, DType::bf16);
    }
    EXPECT_EQ(graph.stride, 2);
    EXPECT_EQ(graph.pad, 1);
  }
}

TEST(ConvPattern, EachPassReadsAndWritesItsOwn) {
  const auto only_node = [](ConvPass pass, Accum accum) {
    const ConvGraph graph = graph_of(pattern_of(kConv, pass, accum, F32Math::exact));
    EXPECT_EQ(graph.nodes.size(), 1u);
    return graph.nodes.at(0);
  };
  const GraphNode forward = only_node(ConvPass::forward, Accum::overwrite);
  EXPECT_EQ(forward.kind, NodeKind::conv_forward);
  EXPECT_EQ(forward.inputs, (std::vector<int64_t>{kX, kFilter}));
  EXPECT_EQ(forward.output, kY);
  const GraphNode data = only_node(ConvPass::backward_data, Accum::add);
  EXPECT_EQ(data.inputs, (std::vector<int64_t>{kY, kFilter}));
  EXPECT_EQ(data.output, kX);
  EXPECT_TRUE(data.onto_output);
  EXPECT_FALSE(only_node(ConvPass::backward_data, Accum::overwrite).onto_output);
  // cuDNN's filter gradient replaces: adding is done afterwards, in f32.
  const GraphNode filter = only_node(ConvPass::backward_filter, Accum::add);
  EXPECT_EQ(filter.inputs, (std::vector<int64_t>{kX, kY}));
  EXPECT_EQ(filter.output, kFilter);
  EXPECT_FALSE(filter.onto_output);
}

/// Follows the graph from the convolution to y and spells the way.
std::string way_to_y(const ConvGraph& graph) {
  std::string way;
  int64_t at = 0;
  for (const GraphNode& node : graph.nodes) {
    if (node.kind == NodeKind::conv_forward)
      way += "conv";
    else
      EXPECT_EQ(node.inputs.at(0), at);
    if (node.kind == NodeKind::add) way += node.inputs.at(1) == kBias ? " bias" : " residual";
    if (node.kind == NodeKind::relu) way += " relu";
    at = node.output;
    const bool last = &node == &graph.nodes.back();
    EXPECT_EQ(at == kY, last);
    EXPECT_EQ(graph.tensor(at).dtype, last ? DType::bf16 : DType::f32) << "rounded on the way";
    EXPECT_EQ(graph.tensor(at).dims, graph.tensor(kY).dims);
  }
  return way;
}

TEST(ConvPattern, InferenceAddsInOrderAndRoundsOnce) {
  for (const bool relu : {false, true})
    for (const bool residual : {false, true}) {
      const ConvGraph graph = graph_of(pattern_of(FusedConvDesc{kConv, relu, residual}, F32Math::exact));
      EXPECT_EQ(way_to_y(graph), std::string("conv bias") + (residual ? " residual" : "") + (relu ? " relu" : ""));
      EXPECT_EQ(graph.tensor(kBias).dims, (Extents{1, 11, 1, 1}));
      EXPECT_EQ(graph.tensor(kBias).dtype, DType::f32);
    }
}

TEST(ConvPattern, DifferentPatternsHaveDifferentKeys) {
  std::vector<ConvPattern> patterns;
  for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_filter})
    for (const DType dtype : {DType::f32, DType::bf16})
      for (int bits = 0; bits < 32; ++bits) {
        ConvPattern p{pass, kConv, bits & 1 ? F32Math::tf32 : F32Math::exact};
        p.conv.dtype = dtype;
        p.bias = bits & 2, p.residual = bits & 4, p.relu = bits & 8, p.add = bits & 16;
        patterns.push_back(p);
      }
  for (int field = 0; field < 9; ++field) {
    ConvPattern p{ConvPass::forward, kConv};
    ConvDesc& d = p.conv;
    int64_t* const fields[] = {&d.n, &d.h, &d.w, &d.c, &d.k, &d.r, &d.s, &d.stride, &d.pad};
    *fields[field] += 100;
    patterns.push_back(p);
  }
  std::set<std::string> keys;
  for (const ConvPattern& p : patterns) {
    EXPECT_TRUE(keys.insert(key_text(p)).second) << key_text(p);
    EXPECT_EQ(key_text(p).find_first_of("\t\n"), std::string::npos);
  }
}

TEST(ConvPattern, ConvolutionsOnOtherBatchesAndExtentsAreNear) {
  const auto key = [](int64_t n, int64_t size, DType dtype = DType::bf16) {
    ConvPattern p{ConvPass::forward, kConv};
    p.conv.n = n, p.conv.h = p.conv.w = size, p.conv.dtype = dtype;
    return key_text(p);
  };
  const std::string usual = key(256, 32);
  EXPECT_EQ(key_distance(usual, usual), 0);
  EXPECT_EQ(key_distance(usual, key(512, 32)), 1);
  EXPECT_EQ(key_distance(key(512, 32), usual), 1);
  EXPECT_EQ(key_distance(usual, key(64, 64)), 0);
  EXPECT_EQ(key_distance(usual, key(64, 32)), 2);
  EXPECT_TRUE(std::isinf(key_distance(usual, key(63, 32)))) << "more than four times the work";
  EXPECT_TRUE(std::isinf(key_distance(usual, key(256, 32, DType::f32))));
  ConvPattern other{ConvPass::forward, kConv};
  other.relu = true;
  EXPECT_TRUE(std::isinf(key_distance(key_text({ConvPass::forward, kConv}), key_text(other))));
  other = {ConvPass::backward_data, kConv};
  EXPECT_TRUE(std::isinf(key_distance(key_text({ConvPass::forward, kConv}), key_text(other))));
  // A file of plans may hold anything for a key.
  for (const char* text : {"", " ", "forward", "forward n1", "forward n h w", "forward n1 h1 w0", "forward n-1 h1 w-1",
                           "forward n99999999999999999999 h1 w1", "forward n1x h1 w1", "forward h1 n1 w1"}) {
    EXPECT_TRUE(std::isinf(key_distance(text, text))) << text;
    EXPECT_TRUE(std::isinf(key_distance(usual, text))) << text;
  }
}

TEST(ConvPattern, MathIsOfF32Alone) {
  ConvDesc f32 = kConv;
  f32.dtype = DType::f32;
  const auto exact_products = [](const ConvDesc& d, F32Math math) {
    return graph_of(pattern_of(d, ConvPass::forward, Accum::overwrite, math)).f32_products;
  };
  EXPECT_TRUE(exact_products(f32, F32Math::exact));
  EXPECT_FALSE(exact_products(f32, F32Math::tf32));
  EXPECT_FALSE(exact_products(kConv, F32Math::exact));
  EXPECT_EQ(pattern_of(kConv, ConvPass::forward, Accum::overwrite, F32Math::tf32),
            pattern_of(kConv, ConvPass::forward, Accum::overwrite, F32Math::exact));
}

TEST(EngineTraits, OfCompiledEnginesFewAreWorthIt) {
  using Engines = std::vector<int64_t>;
  const auto worth = [](const Engines& engines) { return worth_compiling(engines); };
  EXPECT_EQ(worth({}), std::vector<bool>{});
  EXPECT_EQ(worth({4}), std::vector<bool>{true});
  EXPECT_EQ(worth({7, 7}), std::vector<bool>(2, true));
  EXPECT_EQ(worth({4, 4, 4, 4}), std::vector<bool>(4, true));
  EXPECT_EQ(worth({4, 4, 4, 4, 4, 7, 7, 4, 4, 2, 4}),
            (std::vector<bool>{true, true, false, false, false, false, false, false, true, false, true}));
  EXPECT_EQ(worth({4, 7, 2}), (std::vector<bool>{true, false, false}));
}

TEST(EngineTraits, OnlyTrustworthyEnginesAreAdmitted) {
  EXPECT_TRUE(is_admissible({}, true));
  EXPECT_TRUE(is_admissible({.tensor_cores = true}, false));
  EXPECT_FALSE(is_admissible({.tensor_cores = true}, true));
  for (const bool f32_products : {false, true}) {
    EXPECT_FALSE(is_admissible({.rounds_inputs = true}, f32_products));
    EXPECT_FALSE(is_admissible({.rounds_sums = true}, f32_products));
    EXPECT_FALSE(is_admissible({.transforms = true}, f32_products));
    EXPECT_FALSE(is_admissible({.nondeterministic = true}, f32_products));
    EXPECT_TRUE(is_admissible({.compiles = true}, f32_products));
  }
}

}  // namespace
}  // namespace dcl::cuda
