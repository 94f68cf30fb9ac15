// A batch's way through the network in parts of equal size, with the memory of one part and the gradients of an
// objective over the whole batch (Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited
// Setup", 2021): embeddings of all parts first, then part after part again, forward and backward. Batch norm's
// statistics are those of a part's views. A batch of one part is computed once.
#pragma once

#include <functional>

#include "data/batch_input.h"
#include "nn/network.h"

namespace dcl {

class BatchNetwork {
 public:
  /// part: of one part; its batch divides `batch`, the images of a step.
  BatchNetwork(Backend& backend, const ModelConfig& config, const NetworkShape& part, int64_t batch);

  /// f32 [views * batch, D], view-major, rows of unit length: after forward().
  TensorRef embeddings() const { return all(embeddings_, part_.embeddings()); }
  /// Of the same shape; the caller writes it between forward() and backward().
  TensorRef embedding_gradients() const { return all(embedding_gradients_, part_.embedding_gradients()); }

  /// From the batch that was uploaded. Running statistics move once per part and view, in this order.
  void forward(const BatchInput& input, ParameterStore& store) const;
  /// After forward() on the same batch and values. Overwrites every gradient of the store.
  void backward(const BatchInput& input, ParameterStore& store) const;
  /// Bytes of backend memory.
  size_t memory() const { return part_.memory().arena_bytes + embeddings_.bytes() + embedding_gradients_.bytes(); }
  /// What the host counts of a forward(); times -1 takes one back.
  void count_batches(ParameterStore& store, int64_t times = 1) const { part_.count_batches(store, times * parts_); }

  /// look(plan) for every part, with input() and features() as forward() had them; for messages.
  void inspect(const BatchInput& input, ParameterStore& store,
               const std::function<void(const TrainingPlan&)>& look) const;

 private:
  TensorRef all(const Buffer& gathered, TensorRef of_part) const;
  void forward_part(int64_t part, const BatchInput& input, ParameterStore& store, bool update_running) const;
  /// A part's rows of `whole` [views * batch, D] and the part's own tensor, view after view.
  void for_each_view(int64_t part, TensorRef whole, TensorRef own,
                     const std::function<void(TensorRef of_whole, TensorRef of_own)>& copy) const;

  Backend& backend_;
  int64_t batch_, parts_;
  TrainingPlan part_;
  Buffer embeddings_, embedding_gradients_;  ///< of more parts than one
};

}  // namespace dcl
