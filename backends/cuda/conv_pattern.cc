#include "cuda/conv_pattern.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace dcl::cuda {
namespace {

GraphTensor channels_last(int64_t id, DType dtype, std::array<int64_t, 4> dims) {
  const auto [n, c, h, w] = dims;
  return {id, dtype, dims, {h * w * c, 1, w * c, c}};
}

class Builder {
 public:
  explicit Builder(const ConvPattern& p)
      : p_(p),
        x_{p.conv.n, p.conv.c, p.conv.h, p.conv.w},
        y_{p.conv.n, p.conv.k, p.conv.out_h(), p.conv.out_w()},
        channels_{1, p.conv.k, 1, 1} {
    graph_.stride = p.conv.stride;
    graph_.pad = p.conv.pad;
    graph_.f32_products = p.conv.dtype == DType::f32 && p.math == F32Math::exact;
  }

  ConvGraph build() {
    const DType type = p_.conv.dtype;
    tensor(kX, type, x_);
    tensor(kFilter, type, {p_.conv.k, p_.conv.c, p_.conv.r, p_.conv.s});
    if (p_.pass == ConvPass::backward_data) {
      tensor(kY, type, y_);
      graph_.nodes.push_back({NodeKind::conv_backward_data, {kY, kFilter}, kX, p_.add});
    } else if (p_.pass == ConvPass::backward_filter) {
      tensor(kY, type, y_);
      graph_.nodes.push_back({NodeKind::conv_backward_filter, {kX, kY}, kFilter});
    } else {
      forward();
    }
    return std::move(graph_);
  }

 private:
  void forward() {
    const int steps = p_.bias + p_.residual + p_.relu;
    int64_t last = result(steps == 0);
    graph_.nodes.push_back({NodeKind::conv_forward, {kX, kFilter}, last});
    int done = 0;
    const auto step = [&](NodeKind kind, std::vector<int64_t> inputs) {
      const int64_t to = result(++done == steps);
      graph_.nodes.push_back({kind, std::move(inputs), to});
      last = to;
    };
    if (p_.bias) step(NodeKind::add, {last, tensor(kBias, DType::f32, channels_)});
    if (p_.residual) step(NodeKind::add, {last, tensor(kResidual, p_.conv.dtype, y_)});
    if (p_.relu) step(NodeKind::relu, {last});
  }

  /// y itself, or an intermediate result of y's shape in f32.
  int64_t result(bool last) {
    return last ? tensor(kY, p_.conv.dtype, y_) : tensor(next_intermediate_++, DType::f32, y_);
  }

  int64_t tensor(int64_t id, DType dtype, std::array<int64_t, 4> dims) {
    graph_.tensors.push_back(channels_last(id, dtype, dims));
    return id;
  }

  const ConvPattern& p_;
  std::array<int64_t, 4> x_, y_, channels_;
  int64_t next_intermediate_ = kFirstIntermediate;
  ConvGraph graph_;
};

/// A key text by its parts.
struct SplitKey {
  std::string_view pass, rest;
  double pixels = 1;  ///< of all images

  /// Nothing when `key` is no key text.
  static std::optional<SplitKey> of(std::string_view key) {
    SplitKey split;
    split.pass = take_word(key);
    for (const char* name : {"n", "h", "w"}) {
      const std::string_view word = take_word(key);
      int64_t number = 0;
      if (!word.starts_with(name)) return {};
      const auto [end, error] = std::from_chars(word.data() + 1, word.data() + word.size(), number);
      if (error != std::errc() || end != word.data() + word.size() || number < 1) return {};
      split.pixels *= static_cast<double>(number);
    }
    split.rest = key;
    return split;
  }

 private:
  static std::string_view take_word(std::string_view& text) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    return word;
  }
};

const char* name_of(ConvPass pass) {
  switch (pass) {
    case ConvPass::forward:
      return "forward";
    case ConvPass::backward_data:
      return "backward_data";
    case ConvPass::backward_filter:
      return "backward_filter";
  }
  return "?";
}

}  // namespace

ConvPattern pattern_of(const ConvDesc& conv, ConvPass pass, Accum accum, F32Math math) {
  ConvPattern p{pass, conv, conv.dtype == DType::f32 ? math : F32Math::exact};
  p.add = pass == ConvPass::backward_data && accum == Accum::add;
  return p;
}

ConvPattern pattern_of(const FusedConvDesc& fused, F32Math math) {
  ConvPattern p = pattern_of(fused.conv, ConvPass::forward, Accum::overwrite, math);
  p.bias = true;
  p.residual = fused.residual;
  p.relu = fused.relu;
  return p;
}

std::optional<ConvPattern> convolution_alone(const ConvPattern& pattern) {
  ConvPattern alone = pattern;
  alone.bias = alone.residual = alone.relu = alone.add = false;
  // Another rounding of a bf16 result is part of the contract where it is added to what is there.
  const bool exact = pattern.pass == ConvPass::backward_data || pattern.conv.dtype == DType::f32;
  if (alone == pattern || !exact) return {};
  return alone;
}

size_t most_workspace(const ConvPattern& p) {
  constexpr size_t least = size_t{768} << 20;
  const int64_t elements = p.conv.x_shape().elements() + p.conv.filter_shape().elements() + p.conv.y_shape().elements();
  const size_t bytes = static_cast<size_t>(elements) * size_of(p.conv.dtype);
  return std::max(least, bytes + bytes / 4);
}

std::string key_text(const ConvPattern& p) {
  const ConvDesc& d = p.conv;
  std::string text = name_of(p.pass);
  const auto number = [&](const char* name, int64_t value) { text += std::string(" ") + name + std::to_string(value); };
  number("n", d.n), number("h", d.h), number("w", d.w), number("c", d.c), number("k", d.k), number("r", d.r);
  number("s", d.s), number("stride", d.stride), number("pad", d.pad);
  text += " " + std::string(dcl::name_of(d.dtype));
  if (p.math == F32Math::tf32) text += " tf32";
  if (p.bias) text += " bias";
  if (p.residual) text += " residual";
  if (p.relu) text += " relu";
  if (p.add) text += " add";
  return text;
}

const GraphTensor& ConvGraph::tensor(int64_t id) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const GraphTensor& t) { return t.id == id; });
  if (found == tensors.end()) fail(ErrorKind::internal, "convolution graph has no tensor " + std::to_string(id));
  return *found;
}

double key_distance(std::string_view key, std::string_view other) {
  constexpr double kMost = 2;  // as powers of 2
  const auto one = SplitKey::of(key), two = SplitKey::of(other);
  if (!one || !two || one->pass != two->pass || one->rest != two->rest) return std::numeric_limits<double>::infinity();
  const double apart = std::abs(std::log2(one->pixels / two->pixels));
  return apart <= kMost ? apart : std::numeric_limits<double>::infinity();
}

std::vector<int64_t> ConvGraph::operands() const {
  std::vector<int64_t> ids;
  for (const GraphTensor& t : tensors)
    if (t.in_memory()) ids.push_back(t.id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

ConvGraph graph_of(const ConvPattern& pattern) { return Builder(pattern).build(); }

}  // namespace dcl::cuda
