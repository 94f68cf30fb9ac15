// A plan is the fixed list of backend ops of a step, written once; running it allocates nothing and decides nothing.
// Tensors are slots of one arena. Writing an op down notes when its slots are used, so the lifetimes (and with them the
// memory) follow from the same list that is executed; scratch memory of an op is a slot that lives for that op.
#pragma once

#include <array>
#include <functional>
#include <string_view>
#include <vector>

#include "core/backend.h"
#include "nn/arena.h"
#include "nn/parameters.h"

namespace dcl {

/// Names a tensor of a plan: a slot of its arena, or a tensor of the parameter store the plan runs with.
struct Operand {
  enum class Where : uint8_t { none, slot, parameter, gradient };
  Where where = Where::none;
  int index = -1;  ///< of the slot or of the store's entry
  Shape shape;
  DType dtype = DType::f32;
  size_t offset = 0;  ///< bytes into the slot

  explicit operator bool() const { return where != Where::none; }
  /// The same memory seen with another shape of as many elements.
  Operand as(Shape other) const;
};

struct PlanMemory {
  size_t arena_bytes = 0;      ///< what the plan allocates
  size_t live_peak_bytes = 0;  ///< most bytes alive at one op
  size_t workspace_bytes = 0;  ///< largest scratch memory of a convolution, part of the arena
};

class Plan {
 public:
  /// `layout`: of the stores it will run with.
  Plan(Backend& backend, std::vector<ParameterEntry> layout);

  // ---- Writing the plan ---------------------------------------------------------------------------------------------
  /// Lives from its first use to its last.
  Operand slot(Shape shape, DType dtype);
  /// Lives as long as the plan: what is read or written from outside, and constants.
  Operand pinned(Shape shape, DType dtype);
  Operand parameter(std::string_view name) const;
  Operand gradient(std::string_view name) const;
  /// Rounds the weights of all convolutions, of type `dtype`, at once where the backend takes them so: filter() gives
  /// these from here on. Filter gradients are widened by widen_filter_gradients() then, which has to follow the last.
  void round_filters(DType dtype);
  Operand filter(std::string_view name) const;
  void widen_filter_gradients();

  void conv_forward(const ConvDesc&, Operand x, Operand filter, Operand y);
  void conv_backward_data(const ConvDesc&, Operand dy, Operand filter, Operand dx, Accum);
  void conv_backward_filter(const ConvDesc&, Operand x, Operand dy, Operand dfilter);
  void fused_conv(const FusedConvDesc&, Operand x, Operand packed, Operand bias, Operand residual, Operand y);
  void gemm(const GemmDesc&, Operand a, Operand b, Operand bias, Operand c);
  /// Running statistics are left alone when the plan runs with update_running = false.
  void batch_norm_statistics(const BatchNormDesc&, Operand x, Operand saved, Operand running_mean, Operand running_var);
  void batch_norm_running(const BatchNormDesc&, Operand running_mean, Operand running_var, Operand saved);
  /// As NormOperands, and NormGradients for backward.
  struct Norm {
    Operand x, saved, gamma, beta;
    Operand dx, dgamma, dbeta;
  };
  void batch_norm_apply(const BatchNormDesc&, const Norm&, Operand residual, Operand y, Operand positive = {});
  void batch_norm_backward(const BatchNormDesc&, Operand dy, Operand y, const Norm&, Operand dresidual);
  void batch_norm_pair_apply(const BatchNormDesc&, const std::array<Norm, 2>&, Operand y, Operand positive);
  void batch_norm_pair_backward(const BatchNormDesc&, Operand dy, Operand positive, const std::array<Norm, 2>&);
  void max_pool_forward(const MaxPoolDesc&, Operand x, Operand y, Operand argmax);
  void max_pool_backward(const MaxPoolDesc&, Operand dy, Operand argmax, Operand dx);
  void average_pool_forward(const AveragePoolDesc&, Operand x, Operand y);
  void average_pool_backward(const AveragePoolDesc&, Operand dy, Operand dx);
  void l2_normalize_forward(Operand x, Operand y, Operand norms);
  void l2_normalize_backward(Operand dy, Operand y, Operand norms, Operand dx);
  void column_sum(Operand x, Operand sums);

  /// Ops written so far: the border between parts that are run separately.
  int size() const { return static_cast<int>(ops_.size()); }
  /// Lays out the arena: memory() is known, and nothing can be written afterwards. Where it is more than is free
  /// without the scratch memory of convolutions already, that is left out, since a GPU would time engines to know it.
  void finish();
  /// Takes the arena's memory, after finish().
  void allocate();

  // ---- Running it ---------------------------------------------------------------------------------------------------
  /// Ops [first, last), after allocate(). The store may be null when no op names a parameter. gradients: how ops write
  /// to the store's.
  void run(int first, int last, ParameterStore* store, bool update_running, Accum gradients = Accum::overwrite) const;
  /// The memory of a slot; after allocate().
  TensorRef tensor(const Operand& slot) const;
  const PlanMemory& memory() const { return memory_; }
  Backend& backend() const { return *backend_; }
  std::span<const ParameterEntry> layout() const { return layout_; }
  /// For tests: lifetimes and offsets of all slots, scratch memory included.
  std::span<const Lifetime> lifetimes() const { return lifetimes_; }
  std::span<const size_t> offsets() const { return offsets_; }

 private:
  struct Frame;
  using Op = std::function<void(const Frame&)>;

  Operand named(std::string_view name, Operand::Where where) const;
  /// The part of rounded weights or gradients that belongs to an entry of the layout.
  Operand rounded_part(const Operand& all, const Operand& of_entry) const;
  /// Notes the use of `operands` by the op that comes next.
  void use(std::initializer_list<Operand> operands);
  /// The same of a convolution; returns the slot of its scratch memory.
  Operand use(std::initializer_list<Operand> operands, const ConvUse& convolution);
  void touch(int slot);
  void plan_scratch();
  void lay_out_arena();

  Backend* backend_;
  std::vector<ParameterEntry> layout_;
  std::vector<Op> ops_;
  std::vector<Lifetime> lifetimes_;
  std::vector<bool> pinned_;
  std::vector<ConvUse> convolutions_;
  std::vector<int> scratch_;                     ///< their slots, whose sizes finish() asks for
  Operand rounded_filters_, rounded_gradients_;  ///< bf16, of all convolutions
  std::vector<size_t> offsets_;
  Buffer arena_;
  PlanMemory memory_;
  bool finished_ = false, scratch_planned_ = false;
};

}  // namespace dcl
