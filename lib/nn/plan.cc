#include "nn/plan.h"

#include <algorithm>
#include <utility>

#include "nn/plan_frame.h"

namespace dcl {

Operand Operand::as(Shape other) const {
  if (other.elements() != shape.elements())
    fail(ErrorKind::internal, shape.text() + " cannot be seen as " + other.text());
  Operand same = *this;
  same.shape = other;
  return same;
}

Plan::Plan(Backend& backend, std::vector<ParameterEntry> layout) : backend_(&backend), layout_(std::move(layout)) {}

// ---- Slots ---------------------------------------------------------------------------------------------------------

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

}  // namespace dcl
