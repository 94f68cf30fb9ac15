#include "nn/plan.h"

#include <algorithm>
#include <utility>

namespace dcl {

/// What an op needs while it runs: turns operands into memory.
struct Plan::Frame {
  const Plan& plan;
  Backend& backend;
  ParameterStore* store;
  bool update_running;
  Accum gradients;

  TensorRef operator()(const Operand& operand) const {
    switch (operand.where) {
      case Operand::Where::none:
        return {};
      case Operand::Where::slot:
        return plan.tensor(operand);
      default:
        break;
    }
    if (!store) fail(ErrorKind::internal, "this plan needs a parameter store");
    const ParameterEntry& entry = store->entries()[static_cast<size_t>(operand.index)];
    TensorRef tensor = operand.where == Operand::Where::parameter ? store->tensor(entry) : store->gradient(entry);
    tensor.shape = operand.shape;
    return tensor;
  }
  static TensorRef all_filters(TensorRef flat, int64_t count) { return {flat.data, {count}, DType::f32}; }
  NormPair operands(const std::array<Norm, 2>& pair) const {
    NormPair all;
    for (size_t i = 0; i < all.size(); ++i)
      all[i] = {(*this)(pair[i].x), (*this)(pair[i].saved), (*this)(pair[i].gamma), (*this)(pair[i].beta)};
    return all;
  }
  /// Nothing when it is to be left alone.
  TensorRef running(const Operand& statistic) const { return update_running ? (*this)(statistic) : TensorRef{}; }
  /// How an op writes to it.
  Accum accum(const Operand& result, Accum elsewhere = Accum::overwrite) const {
    return result.where == Operand::Where::gradient ? gradients : elsewhere;
  }
  Workspace workspace(const Operand& scratch) const {
    const size_t bytes = plan.lifetimes_[static_cast<size_t>(scratch.index)].bytes;
    return {bytes ? plan.tensor(scratch).data : nullptr, bytes};
  }
};

Operand Operand::as(Shape other) const {
  if (other.elements() != shape.elements())
    fail(ErrorKind::internal, shape.text() + " cannot be seen as " + other.text());
  Operand same = *this;
  same.shape = other;
  return same;
}

Plan::Plan(Backend& backend, std::vector<ParameterEntry> layout) : backend_(&backend), layout_(std::move(layout)) {}

// ---- Slots
// ------------------------------------------------------------------------------------------------------------

Operand Plan::slot(Shape shape, DType dtype) {
  const int index = static_cast<int>(lifetimes_.size());
  lifetimes_.push_back({static_cast<size_t>(shape.elements()) * size_of(dtype), -1, -1});
  pinned_.push_back(false);
  return {Operand::Where::slot, index, shape, dtype};
}

Operand Plan::pinned(Shape shape, DType dtype) {
  const Operand operand = slot(shape, dtype);
  pinned_.back() = true;
  return operand;
}

Operand Plan::named(std::string_view name, Operand::Where where) const {
  const auto found =
      std::find_if(layout_.begin(), layout_.end(), [&](const auto& entry) { return entry.name == name; });
  if (found == layout_.end()) fail(ErrorKind::internal, "the model has no tensor " + std::string(name));
  return {where, static_cast<int>(found - layout_.begin()), found->stored, DType::f32};
}

Operand Plan::parameter(std::string_view name) const { return named(name, Operand::Where::parameter); }
Operand Plan::gradient(std::string_view name) const { return named(name, Operand::Where::gradient); }

void Plan::round_filters(DType dtype) {
  if (dtype != DType::bf16 || !backend_->takes_rounded_filters()) return;
  const int64_t count = conv_weights_end(layout_);
  const Operand rounded = slot({count}, dtype);
  use({rounded});
  ops_.push_back([=](const Frame& f) { f.backend.cast(f.all_filters(f.store->values(), count), f(rounded)); });
  rounded_filters_ = rounded;
}

void Plan::widen_filter_gradients() {
  if (!rounded_gradients_) return;
  const Operand rounded = rounded_gradients_;
  use({rounded});
  ops_.push_back([=](const Frame& f) {
    if (f.gradients == Accum::overwrite)
      f.backend.cast(f(rounded), f.all_filters(f.store->gradients(), rounded.shape[0]));
  });
}

Operand Plan::rounded_part(const Operand& all, const Operand& of_entry) const {
  const ParameterEntry& entry = layout_[static_cast<size_t>(of_entry.index)];
  return {Operand::Where::slot, all.index, entry.stored, all.dtype,
          static_cast<size_t>(entry.offset) * size_of(all.dtype)};
}

Operand Plan::filter(std::string_view name) const {
  const Operand own = parameter(name);
  return rounded_filters_ ? rounded_part(rounded_filters_, own) : own;
}

void Plan::touch(int slot) {
  Lifetime& lifetime = lifetimes_[static_cast<size_t>(slot)];
  if (lifetime.first < 0) lifetime.first = size();
  lifetime.last = size();
}

void Plan::use(std::initializer_list<Operand> operands) {
  if (finished_) fail(ErrorKind::internal, "a finished plan cannot grow");
  for (const Operand& operand : operands)
    if (operand.where == Operand::Where::slot) touch(operand.index);
}

Operand Plan::use(std::initializer_list<Operand> operands, const ConvUse& convolution) {
  use(operands);
  const Operand memory = slot({0}, DType::u8);
  touch(memory.index);
  convolutions_.push_back(convolution);
  scratch_.push_back(memory.index);
  return memory;
}

void Plan::finish() {
  for (size_t i = 0; i < lifetimes_.size(); ++i) {
    if (pinned_[i]) lifetimes_[i].first = 0, lifetimes_[i].last = size();
    if (lifetimes_[i].first < 0) fail(ErrorKind::internal, "a slot of the plan is never used");
  }
  lay_out_arena();
  finished_ = true;
  const size_t free = backend_->free_memory();
  if (free == 0 || memory_.arena_bytes <= free) plan_scratch();
}

void Plan::plan_scratch() {
  const std::vector<size_t> scratch_bytes = backend_->conv_workspaces(convolutions_);
  for (size_t i = 0; i < scratch_.size(); ++i) {
    lifetimes_[static_cast<size_t>(scratch_[i])].bytes = scratch_bytes[i];
    memory_.workspace_bytes = std::max(memory_.workspace_bytes, scratch_bytes[i]);
  }
  lay_out_arena();
  scratch_planned_ = true;
}

void Plan::lay_out_arena() {
  ArenaLayout layout = lay_out(lifetimes_);
  offsets_ = std::move(layout.offsets);
  memory_.arena_bytes = layout.bytes;
  memory_.live_peak_bytes = layout.live_peak;
}

void Plan::allocate() {
  if (!finished_) fail(ErrorKind::internal, "a plan's memory is known when it is finished");
  if (!scratch_planned_) {
    static_cast<void>(Buffer(*backend_, memory_.arena_bytes));  // throws, unless memory became free since finish()
    plan_scratch();
  }
  arena_ = Buffer(*backend_, memory_.arena_bytes);
}

TensorRef Plan::tensor(const Operand& slot) const {
  if (slot.where != Operand::Where::slot || !arena_.data()) fail(ErrorKind::internal, "not a tensor of this plan");
  const size_t offset = offsets_[static_cast<size_t>(slot.index)] + slot.offset;
  return {static_cast<std::byte*>(arena_.data()) + offset, slot.shape, slot.dtype};
}

void Plan::run(int first, int last, ParameterStore* store, bool update_running, Accum gradients) const {
  const Frame frame{*this, *backend_, store, update_running, gradients};
  for (int op = first; op < last; ++op) ops_[static_cast<size_t>(op)](frame);
}

// ---- Ops
// --------------------------------------------------------------------------------------------------------------

void Plan::conv_forward(const ConvDesc& d, Operand x, Operand filter, Operand y) {
  const Operand scratch = use({x, filter, y}, ConvPassUse{d, ConvPass::forward});
  ops_.push_back([=](const Frame& f) { f.backend.conv_forward(d, f(x), f(filter), f(y), f.workspace(scratch)); });
}

void Plan::conv_forward_statistics(const ConvDesc& d, const BatchNormDesc& norm, Operand x, Operand filter, Operand y,
                                   Operand saved, Operand running_mean, Operand running_var) {
  const Operand scratch = use({x, filter, y, saved, running_mean, running_var}, ConvStatisticsUse{d, norm});
  ops_.push_back([=](const Frame& f) {
    f.backend.conv_forward_statistics(d, norm, f(x), f(filter), f(y), f(saved), f.running(running_mean),
                                      f.running(running_var), f.workspace(scratch));
  });
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

void Plan::batch_norm_apply(const BatchNormDesc& d, Operand x, Operand saved, Operand gamma, Operand beta,
                            Operand residual, Operand y, Operand positive) {
  use({x, saved, gamma, beta, residual, y, positive});
  ops_.push_back([=](const Frame& f) {
    f.backend.batch_norm_apply(d, f(x), f(saved), f(gamma), f(beta), f(residual), f(y), f(positive));
  });
}

void Plan::batch_norm_backward(const BatchNormDesc& d, Operand dy, Operand x, Operand y, Operand saved, Operand gamma,
                               Operand beta, Operand dx, Operand dresidual, Operand dgamma, Operand dbeta) {
  use({dy, x, y, saved, gamma, beta, dx, dresidual, dgamma, dbeta});
  ops_.push_back([=](const Frame& f) {
    f.backend.batch_norm_backward(d, f(dy), f(x), f(y), f(saved), f(gamma), f(beta), f(dx), f(dresidual), f(dgamma),
                                  f(dbeta), f.accum(dgamma));
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
    NormPairGradients to;
    for (size_t i = 0; i < to.size(); ++i) to[i] = {f(pair[i].dx), f(pair[i].dgamma), f(pair[i].dbeta)};
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
