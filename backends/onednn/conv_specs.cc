#include "onednn/conv_specs.h"

namespace dcl::onednn {

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

ConvSpec spec_for(const ConvDesc& d, int64_t images) {
  constexpr int64_t kVector = 16;  // of any instruction set
  const bool partial = d.c % kVector != 0 || d.k % kVector != 0;
  if (d.r != d.s || 2 * d.pad > d.r || (d.r == 1 && d.stride > 1 && partial)) throw NotFast();
  using Desc = dnnl::memory::desc;
  using Tag = dnnl::memory::format_tag;
  const auto type = data_type_of(d.dtype);
  ConvSpec spec;
  spec.src = Desc({images, d.c, d.h, d.w}, type, Tag::nhwc);
  spec.weights = Desc({d.k, d.c, d.r, d.s}, type, Tag::any);
  spec.dst = Desc({images, d.k, d.out_h(), d.out_w()}, type, Tag::nhwc);
  set_geometry(d, spec);
  return spec;
}

size_t image_bytes(const ConvDesc& d, bool of_y) {
  return static_cast<size_t>(of_y ? d.out_h() * d.out_w() * d.k : d.h * d.w * d.c) * size_of(d.dtype);
}

size_t PieceExecutions::scratchpad_bytes() const {
  return std::max(larger_.scratchpad_bytes(), smaller_.scratchpad_bytes());
}

void PieceExecutions::prepare() {
  larger_.prepare();
  if (split_.larger > 0) smaller_.prepare();
}

}  // namespace dcl::onednn
