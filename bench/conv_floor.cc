#include "conv_floor.h"

#include <cstring>
#include <unordered_map>

#include "onednn/compat.h"

namespace dcl::bench {

using dnnl::memory;

struct FloorConv::State {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  dnnl::primitive primitive;
  std::unordered_map<int, memory> arguments;

  void add(int index, const memory::desc& layout) {
    memory operand(layout, engine);
    // 0x3f803f80 is close to 1 as f32 and two ones as bf16.
    auto* words = static_cast<uint32_t*>(operand.get_data_handle());
    for (size_t i = 0; i < layout.get_size() / sizeof(uint32_t); ++i) words[i] = 0x3f803f80u;
    arguments.emplace(index, operand);
  }
};

FloorConv::FloorConv(const ConvDesc& d, ConvPass pass, bool inference) : state_(std::make_unique<State>()) {
  const bool bf16 = d.dtype == DType::bf16 && onednn::multiplies_bf16();
  const auto type = bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  const auto any = memory::format_tag::any;
  onednn::ConvSpec spec;
  spec.src = {{d.n, d.c, d.h, d.w}, type, any};
  spec.weights = {{d.k, d.c, d.r, d.s}, type, any};
  spec.dst = {{d.n, d.k, d.out_h(), d.out_w()}, type, any};
  onednn::set_geometry(d, spec);
  const dnnl::primitive_attr attr;
  const auto kind = inference ? dnnl::prop_kind::forward_inference : dnnl::prop_kind::forward_training;
  const auto forward = onednn::forward_desc(state_->engine, kind, spec, attr);
  switch (pass) {
    case ConvPass::forward:
      state_->primitive = onednn::Forward(forward);
      state_->add(DNNL_ARG_SRC, forward.src_desc());
      state_->add(DNNL_ARG_WEIGHTS, forward.weights_desc());
      state_->add(DNNL_ARG_DST, forward.dst_desc());
      break;
    case ConvPass::backward_data: {
      const auto desc = onednn::backward_data_desc(state_->engine, spec, forward, attr);
      state_->primitive = onednn::BackwardData(desc);
      state_->add(DNNL_ARG_DIFF_DST, desc.diff_dst_desc());
      state_->add(DNNL_ARG_WEIGHTS, desc.weights_desc());
      state_->add(DNNL_ARG_DIFF_SRC, desc.diff_src_desc());
      break;
    }
    case ConvPass::backward_filter: {
      const auto desc = onednn::backward_filter_desc(state_->engine, spec, forward, attr);
      state_->primitive = onednn::BackwardFilter(desc);
      state_->add(DNNL_ARG_SRC, desc.src_desc());
      state_->add(DNNL_ARG_DIFF_DST, desc.diff_dst_desc());
      state_->add(DNNL_ARG_DIFF_WEIGHTS, desc.diff_weights_desc());
      break;
    }
  }
}

FloorConv::~FloorConv() = default;

void FloorConv::run() {
  state_->primitive.execute(state_->stream, state_->arguments);
  state_->stream.wait();
}

}  // namespace dcl::bench
