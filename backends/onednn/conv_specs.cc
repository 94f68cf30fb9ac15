#include "onednn/conv_specs.h"

namespace dcl::onednn {

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

ConvDesc computed(ConvDesc d) {
  if (d.dtype == DType::bf16 && !multiplies_bf16()) d.dtype = DType::f32;
  return d;
}

ConvSpec spec_for(const ConvDesc& d, int64_t images) {
  constexpr int64_t kVector = 16;  // of any instruction set
  const bool partial = d.c % kVector != 0 || d.k % kVector != 0;
  if (d.r != d.s || 2 * d.pad > d.r || (d.r == 1 && d.stride > 1 && partial)) throw NotFast();
  using Desc = dnnl::memory::desc;
  using Tag = dnnl::memory::format_tag;
  const auto type = data_type_of(computed(d).dtype);
  ConvSpec spec;
  spec.src = Desc({images, d.c, d.h, d.w}, type, Tag::nhwc);
  spec.weights = Desc({d.k, d.c, d.r, d.s}, type, Tag::any);
  spec.dst = Desc({images, d.k, d.out_h(), d.out_w()}, type, Tag::nhwc);
  set_geometry(d, spec);
  return spec;
}

}  // namespace dcl::onednn
