// One pretraining step: views -> embeddings -> objective -> gradients -> update. Allocates nothing after the second
// step. On a device the host goes on while steps are under way: run() enqueues a step, report() reads its result.
#pragma once

#include <memory>
#include <vector>

#include "io/safetensors.h"
#include "train/batch_network.h"
#include "train/finite.h"
#include "train/optimizer.h"
#include "train/pretrain_settings.h"

namespace dcl {

class PretrainStep {
 public:
  /// Most steps that may be unreported.
  static constexpr int64_t kMostPending = 16;

  /// Freshly initialised weights from settings.seed. use_graph: record the step once and replay it.
  PretrainStep(Backend& backend, const PretrainSettings& settings, bool use_graph = true);

  /// Of `hard`, for the steps from now on; none may be under way. A recorded step is recorded again, after a first
  /// one op by op.
  void set_beta(double beta);
  double beta() const { return objective_.beta; }

  /// Enqueues the step that follows `updates_done` earlier updates. When its loss is not finite, it leaves weights and
  /// optimizer state as they were, without the host having looked.
  void run(const Batch& batch, int64_t updates_done, double learning_rate);
  /// Steps that were enqueued and not reported.
  int64_t pending() const { return enqueued_ - reported_; }
  /// Waits for the oldest of them and returns what it computed. When its loss is not finite and no later step is under
  /// way, the running statistics become what they were before it, too.
  ObjectiveReport report();

  /// After a loss that was not finite: what was the first not to be, in the order of computation.
  std::string first_non_finite();

  const ParameterStore& parameters() const { return parameters_; }
  /// Bytes of backend memory: the network's tensors, weights, gradients and optimizer state.
  size_t memory() const;

  /// What a checkpoint holds; the sources read this object when they are written.
  std::vector<TensorSource> model_tensors() const;
  std::vector<TensorSource> state_tensors() const;
  void load(const SafetensorsFile& model, const SafetensorsFile& state);

  /// Which of weights, running statistics and optimizer state are not finite; "" when all are.
  std::string non_finite_state() const;

 private:
  void enqueue(bool plant_fault = false);
  double* result_of(int64_t step) const;
  TensorRef statistics_before() const;

  Backend& backend_;
  ParameterStore parameters_;
  BatchNetwork network_;
  ObjectiveDesc objective_;
  BatchInput input_;
  Buffer result_, workspace_, statistics_before_;
  FiniteCheck finite_;
  Optimizer optimizer_;
  HostBuffer results_;                           // of the last kMostPending steps
  std::vector<std::unique_ptr<Fence>> arrived_;  // their results
  int64_t enqueued_ = 0, reported_ = 0;
  bool use_graph_;
  /// With the descriptors of now: such a step creates what a device needs and could not create while recording.
  bool ran_op_by_op_ = false;
  std::unique_ptr<StepGraph> graph_;  // of enqueue(), from the second of these steps on
};

}  // namespace dcl
