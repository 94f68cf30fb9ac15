#include "train/batch_network.h"

#include "core/rows.h"

namespace dcl {
namespace {

int64_t parts_of(const NetworkShape& part, int64_t batch) {
  if (part.batch < 1 || batch % part.batch != 0) fail(ErrorKind::internal, "a batch has parts of one size");
  return batch / part.batch;
}

}  // namespace

BatchNetwork::BatchNetwork(Backend& backend, const ModelConfig& config, const NetworkShape& part, int64_t batch)
    : backend_(backend), batch_(batch), parts_(parts_of(part, batch)), part_(backend, config, part) {
  if (parts_ == 1) return;
  const size_t bytes = part_.embeddings().bytes() * static_cast<size_t>(parts_);
  embeddings_ = Buffer(backend, bytes);
  embedding_gradients_ = Buffer(backend, bytes);
}

TensorRef BatchNetwork::all(const Buffer& gathered, TensorRef of_part) const {
  if (parts_ == 1) return of_part;
  return gathered.view({of_part.shape[0] * parts_, of_part.shape[1]}, of_part.dtype);
}

void BatchNetwork::for_each_view(int64_t part, TensorRef whole, TensorRef own,
                                 const std::function<void(TensorRef, TensorRef)>& copy) const {
  const int64_t images = part_.shape().batch;
  for (int64_t view = 0; view < part_.shape().views; ++view)
    copy(rows(whole, view * batch_ + part * images, images), rows(own, view * images, images));
}

void BatchNetwork::forward_part(int64_t part, const BatchInput& input, ParameterStore& store,
                                bool update_running) const {
  input.make_views(part_.input(), part * part_.shape().batch);
  part_.enqueue_forward(store, update_running);
}

void BatchNetwork::forward(const BatchInput& input, ParameterStore& store) const {
  for (int64_t part = 0; part < parts_; ++part) {
    forward_part(part, input, store, true);
    if (parts_ == 1) return;
    for_each_view(part, embeddings(), part_.embeddings(),
                  [&](TensorRef of_whole, TensorRef of_own) { backend_.copy(of_own, of_whole); });
  }
}

void BatchNetwork::backward(const BatchInput& input, ParameterStore& store) const {
  if (parts_ == 1) return part_.backward(store);
  // From the last part on, whose activations are still there.
  for (int64_t part = parts_ - 1; part >= 0; --part) {
    const bool last = part == parts_ - 1;
    if (!last) forward_part(part, input, store, false);
    for_each_view(part, embedding_gradients(), part_.embedding_gradients(),
                  [&](TensorRef of_whole, TensorRef of_own) { backend_.copy(of_whole, of_own); });
    part_.backward(store, last ? Accum::overwrite : Accum::add);
  }
}

void BatchNetwork::inspect(const BatchInput& input, ParameterStore& store,
                           const std::function<void(const TrainingPlan&)>& look) const {
  for (int64_t part = 0; part < parts_; ++part) {
    if (parts_ > 1) forward_part(part, input, store, false);
    look(part_);
  }
}

}  // namespace dcl
