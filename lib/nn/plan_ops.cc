// Writing ops into a plan: each notes what it uses and appends the call of the backend.
#include "nn/plan_frame.h"

namespace dcl {

void Plan::round_filters(DType dtype) {
  if (dtype != DType::bf16 || !backend_->takes_rounded_filters()) return;
  const int64_t count = conv_weights_end(layout_);
  const Operand rounded = slot({count}, dtype);
  use({rounded});
  ops_.push_back([=](const Frame& f) { f.backend.cast(f.all_filters(f.parameters().values(), count), f(rounded)); });
  rounded_filters_ = rounded;
}

void Plan::widen_filter_gradients() {
  if (!rounded_gradients_) return;
  const Operand rounded = rounded_gradients_;
  use({rounded});
  ops_.push_back([=](const Frame& f) {
    if (f.gradients == Accum::overwrite)
      f.backend.cast(f(rounded), f.all_filters(f.parameters().gradients(), rounded.shape[0]));
  });
}

void Plan::conv_forward(const ConvDesc& d, Operand x, Operand filter, Operand y) {
  const Operand scratch = use({x, filter, y}, ConvPassUse{d, ConvPass::forward});
  ops_.push_back([=](const Frame& f) { f.backend.conv_forward(d, f(x), f(filter), f(y), f.workspace(scratch)); });
}

void Plan::conv_backward_data(const ConvDesc& d, Operand dy, Operand filter, Operand dx, Accum accum) {
  const Operand scratch = use({dy, filter, dx}, ConvPassUse{d, ConvPass::backward_data});
  ops_.push_back(
      [=](const Frame& f) { f.backend.conv_backward_data(d, f(dy), f(filter), f(dx), accum, f.workspace(scratch)); });
}

void Plan::conv_backward_filter(const ConvDesc& d, Operand x, Operand dy, Operand dfilter) {
  if (rounded_filters_ && !rounded_gradients_)
    rounded_gradients_ = slot(rounded_filters_.shape, rounded_filters_.dtype);
  const Operand rounded = rounded_gradients_ ? rounded_part(rounded_gradients_, dfilter) : Operand{};
  const Operand scratch = use({x, dy, dfilter, rounded}, ConvPassUse{d, ConvPass::backward_filter});
  ops_.push_back([=](const Frame& f) {
    const Operand& to = rounded && f.gradients == Accum::overwrite ? rounded : dfilter;
    f.backend.conv_backward_filter(d, f(x), f(dy), f(to), f.accum(to), f.workspace(scratch));
  });
}

void Plan::fused_conv(const FusedConvDesc& d, Operand x, Operand packed, Operand bias, Operand residual, Operand y) {
  const Operand scratch = use({x, packed, bias, residual, y}, d);
  ops_.push_back([=](const Frame& f) {
    f.backend.fused_conv(d, f(x), f(packed), f(bias), f(residual), f(y), f.workspace(scratch));
  });
}

void Plan::gemm(const GemmDesc& d, Operand a, Operand b, Operand bias, Operand c) {
  use({a, b, bias, c});
  ops_.push_back([=](const Frame& f) {
    GemmDesc own = d;
    own.accum = f.accum(c, d.accum);
    f.backend.gemm(own, f(a), f(b), f(bias), f(c));
  });
}

void Plan::batch_norm_statistics(const BatchNormDesc& d, Operand x, Operand saved, Operand running_mean,
                                 Operand running_var) {
  use({x, saved, running_mean, running_var});
  ops_.push_back([=](const Frame& f) {
    f.backend.batch_norm_statistics(d, f(x), f(saved), f.running(running_mean), f.running(running_var));
  });
}

void Plan::batch_norm_running(const BatchNormDesc& d, Operand running_mean, Operand running_var, Operand saved) {
  use({running_mean, running_var, saved});
  ops_.push_back([=](const Frame& f) { f.backend.batch_norm_running(d, f(running_mean), f(running_var), f(saved)); });
}

void Plan::batch_norm_apply(const BatchNormDesc& d, const Norm& norm, Operand residual, Operand y, Operand positive) {
  use({norm.x, norm.saved, norm.gamma, norm.beta, residual, y, positive});
  ops_.push_back(
      [=](const Frame& f) { f.backend.batch_norm_apply(d, f.operands(norm), f(residual), f(y), f(positive)); });
}

void Plan::batch_norm_backward(const BatchNormDesc& d, Operand dy, Operand y, const Norm& norm, Operand dresidual) {
  use({dy, y, norm.x, norm.saved, norm.gamma, norm.beta, norm.dx, norm.dgamma, norm.dbeta, dresidual});
  ops_.push_back([=](const Frame& f) {
    f.backend.batch_norm_backward(d, f(dy), f(y), f.operands(norm), f.gradients_of(norm), f(dresidual),
                                  f.accum(norm.dgamma));
  });
}

void Plan::batch_norm_pair_apply(const BatchNormDesc& d, const std::array<Norm, 2>& pair, Operand y, Operand positive) {
  for (const Norm& n : pair) use({n.x, n.saved, n.gamma, n.beta, y, positive});
  ops_.push_back([=](const Frame& f) { f.backend.batch_norm_pair_apply(d, f.operands(pair), f(y), f(positive)); });
}

void Plan::batch_norm_pair_backward(const BatchNormDesc& d, Operand dy, Operand positive,
                                    const std::array<Norm, 2>& pair) {
  for (const Norm& n : pair) use({dy, positive, n.x, n.saved, n.gamma, n.beta, n.dx, n.dgamma, n.dbeta});
  ops_.push_back([=](const Frame& f) {
    const NormPairGradients to{f.gradients_of(pair[0]), f.gradients_of(pair[1])};
    f.backend.batch_norm_pair_backward(d, f(dy), f(positive), f.operands(pair), to, f.accum(pair[0].dgamma));
  });
}

void Plan::max_pool_forward(const MaxPoolDesc& d, Operand x, Operand y, Operand argmax) {
  use({x, y, argmax});
  ops_.push_back([=](const Frame& f) { f.backend.max_pool_forward(d, f(x), f(y), f(argmax)); });
}

void Plan::max_pool_backward(const MaxPoolDesc& d, Operand dy, Operand argmax, Operand dx) {
  use({dy, argmax, dx});
  ops_.push_back([=](const Frame& f) { f.backend.max_pool_backward(d, f(dy), f(argmax), f(dx)); });
}

void Plan::average_pool_forward(const AveragePoolDesc& d, Operand x, Operand y) {
  use({x, y});
  ops_.push_back([=](const Frame& f) { f.backend.average_pool_forward(d, f(x), f(y)); });
}

void Plan::average_pool_backward(const AveragePoolDesc& d, Operand dy, Operand dx) {
  use({dy, dx});
  ops_.push_back([=](const Frame& f) { f.backend.average_pool_backward(d, f(dy), f(dx)); });
}

void Plan::l2_normalize_forward(Operand x, Operand y, Operand norms) {
  use({x, y, norms});
  ops_.push_back([=](const Frame& f) { f.backend.l2_normalize_forward(f(x), f(y), f(norms)); });
}

void Plan::l2_normalize_backward(Operand dy, Operand y, Operand norms, Operand dx) {
  use({dy, y, norms, dx});
  ops_.push_back([=](const Frame& f) { f.backend.l2_normalize_backward(f(dy), f(y), f(norms), f(dx)); });
}

void Plan::column_sum(Operand x, Operand sums) {
  use({x, sums});
  ops_.push_back([=](const Frame& f) { f.backend.column_sum(f(x), f(sums), f.accum(sums)); });
}

}  // namespace dcl
