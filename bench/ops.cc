#include "ops.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "data/batch_input.h"
#include "network.h"
#include "nn/inference.h"
#include "train/pretrain_step.h"
#include "values.h"

namespace dcl::bench {
namespace {

size_t bytes(const Shape& shape, DType dtype) { return static_cast<size_t>(shape.elements()) * size_of(dtype); }

class ConvRun {
 public:
  ConvRun(Backend& backend, const ConvDesc& d, ConvPass pass, bool inference)
      : backend_(backend),
        d_(d),
        pass_(pass),
        inference_(inference),
        x_(backend, bytes(d.x_shape(), d.dtype)),
        y_(backend, bytes(d.y_shape(), d.dtype)),
        filter_(backend, bytes(d.filter_shape(), DType::f32)) {
    fill_uniform(backend, x());
    fill_uniform(backend, y());
    fill_uniform(backend, filter());
    if (inference) {
      packed_ = Buffer(backend, backend.packed_filter_bytes(fused()));
      bias_ = Buffer(backend, bytes({d.k}, DType::f32));
      backend.fill(bias_.view({d.k}, DType::f32), 0);
      backend.pack_filter(fused(), filter(), packed());
    }
    workspace_ = Buffer(backend, inference ? backend.fused_conv_workspace(fused()) : backend.conv_workspace(d, pass));
  }

  void operator()() {
    const Workspace workspace{workspace_.data(), workspace_.bytes()};
    if (inference_)
      backend_.fused_conv(fused(), x(), packed(), bias_.view({d_.k}, DType::f32), {}, y(), workspace);
    else if (pass_ == ConvPass::forward)
      backend_.conv_forward(d_, x(), filter(), y(), workspace);
    else if (pass_ == ConvPass::backward_data)
      backend_.conv_backward_data(d_, y(), filter(), x(), Accum::overwrite, workspace);
    else
      backend_.conv_backward_filter(d_, x(), y(), filter(), Accum::overwrite, workspace);
  }

 private:
  FusedConvDesc fused() const { return {d_, true, false}; }
  TensorRef x() { return x_.view(d_.x_shape(), d_.dtype); }
  TensorRef y() { return y_.view(d_.y_shape(), d_.dtype); }
  TensorRef filter() { return filter_.view(d_.filter_shape(), DType::f32); }
  TensorRef packed() { return packed_.view({static_cast<int64_t>(packed_.bytes())}, DType::u8); }

  Backend& backend_;
  ConvDesc d_;
  ConvPass pass_;
  bool inference_;
  Buffer x_, y_, filter_, packed_, bias_, workspace_;
};

class ObjectiveRun {
 public:
  ObjectiveRun(Backend& backend, const ObjectiveDesc& d)
      : backend_(backend),
        d_(d),
        z_(backend, bytes(d.z_shape(), DType::f32)),
        dz_(backend, bytes(d.z_shape(), DType::f32)),
        labels_(backend, static_cast<size_t>(d.batch) * sizeof(int32_t)),
        result_(backend, kObjectiveResults * sizeof(double)),
        workspace_(backend, backend.objective_workspace(d)) {
    const Buffer norms(backend, static_cast<size_t>(d.z_shape()[0]) * sizeof(float));
    fill_uniform(backend, z());
    backend.l2_normalize_forward(z(), z(), norms.view({d.z_shape()[0]}, DType::f32));
    std::vector<int32_t> classes;
    for (int64_t i = 0; i < d.batch; ++i) classes.push_back(static_cast<int32_t>(i % 10));
    backend.copy_in(labels(), classes.data());
    backend.synchronize();
  }

  void operator()() {
    backend_.objective(d_, z(), labels(), result_.view({kObjectiveResults}, DType::f64),
                       dz_.view(d_.z_shape(), DType::f32), {workspace_.data(), workspace_.bytes()});
  }

 private:
  TensorRef z() { return z_.view(d_.z_shape(), DType::f32); }
  TensorRef labels() { return labels_.view({d_.batch}, DType::i32); }

  Backend& backend_;
  ObjectiveDesc d_;
  Buffer z_, dz_, labels_, result_, workspace_;
};

class EmbedRun {
 public:
  EmbedRun(Backend& backend, const Subject& s)
      : plan_(backend, s.model, {.batch = s.batch, .height = s.size, .width = s.size, .dtype = s.dtype}) {
    ParameterStore store(backend, s.model, false);
    store.initialise(0);
    plan_.fold(store);
    fill_uniform(backend, plan_.input());
  }
  void operator()() const { plan_.run(); }

 private:
  InferencePlan plan_;
};

PretrainSettings pretrain_settings(const Subject& s) {
  PretrainSettings settings;
  settings.model = s.model;
  settings.augment.size = s.size;
  settings.batch = s.batch;
  settings.dtype = s.dtype;
  return settings;
}

/// Of the drawn images: three times that of the views, as STL-10's is, where that is possible.
int64_t source_size(int64_t size) { return std::clamp<int64_t>(3 * size, 16, 256); }

/// What pretraining is given.
class Batches {
 public:
  Batches(Backend& backend, const Subject& s)
      : settings_(pretrain_settings(s)),
        data_(load_dataset({.name = "shapes",
                            .split = "train",
                            .shapes_count = 4 * s.batch,
                            .shapes_size = static_cast<int32_t>(source_size(s.size))})),
        loader_(data_, backend, training_views(settings_.augment, settings_.seed),
                {.augment = augment_desc(settings_.augment),
                 .batch = settings_.batch,
                 .views = settings_.views(),
                 .dtype = settings_.dtype}) {
    loader_.start();
  }
  const PretrainSettings& settings() const { return settings_; }
  const Batch& next() { return *loader_.next(); }

 private:
  PretrainSettings settings_;
  Dataset data_;
  Loader loader_;
};

class StepRun {
 public:
  StepRun(Backend& backend, const Subject& s)
      : most_pending_(backend.on_device() ? 4 : 0), batches_(backend, s), step_(backend, batches_.settings()) {}
  void operator()() {
    step_.run(batches_.next(), updates_++, batches_.settings().lr);
    while (step_.pending() > most_pending_) step_.report();
  }

 private:
  int64_t most_pending_, updates_ = 0;
  Batches batches_;
  PretrainStep step_;
};

class AugmentRun {
 public:
  AugmentRun(Backend& backend, const Subject& s)
      : batches_(backend, s),
        input_(backend, augment_desc(batches_.settings().augment), s.batch, batches_.settings().views()),
        out_shape_{batches_.settings().views() * s.batch, s.size, s.size, 3},
        out_(backend, bytes(out_shape_, s.dtype)) {}
  void operator()() {
    input_.upload(batches_.next());
    input_.make_views(out_.view(out_shape_, batches_.settings().dtype));
  }

 private:
  Batches batches_;
  BatchInput input_;
  Shape out_shape_;
  Buffer out_;
};

/// A Run that owns T, which cannot be copied.
template <class T, class... Arguments>
Run owning(Arguments&&... arguments) {
  return [held = std::make_shared<T>(std::forward<Arguments>(arguments)...)] { (*held)(); };
}

template <class T>
std::function<Run(Backend&)> prepare(const Subject& subject) {
  return [subject](Backend& backend) { return owning<T>(backend, subject); };
}

Operation images_operation(const char* name, const Subject& s, std::function<Run(Backend&)> prepare) {
  return {.name = name,
          .shape = network_text(s),
          .batch = s.batch,
          .work = static_cast<double>(s.batch),
          .unit = "images",
          .prepare = std::move(prepare)};
}

}  // namespace

std::string network_text(const Subject& s) {
  return s.model.arch + "/" + std::string(name_of(s.model.stem)) + " " + std::to_string(s.size) + "x" +
         std::to_string(s.size);
}

Run conv_run(Backend& backend, const ConvDesc& desc, ConvPass pass, bool inference) {
  return owning<ConvRun>(backend, desc, pass, inference);
}

Operation objective_operation(const ObjectiveSettings& settings, int64_t batch, int64_t dim) {
  const ObjectiveDesc d = objective_desc(settings, batch, 2, dim);
  const auto rows = static_cast<double>(d.z_shape()[0]);
  return {.name = "objective/" + std::string(name_of(settings.kind)),
          .shape = "2N=" + std::to_string(d.z_shape()[0]) + " D=" + std::to_string(dim),
          .batch = batch,
          .work = 6 * rows * rows * static_cast<double>(dim),
          .unit = "FLOP",
          .recorded = true,
          .prepare = [d](Backend& backend) { return owning<ObjectiveRun>(backend, d); }};
}

std::vector<Operation> conv_operations(const Subject& s) {
  std::vector<Operation> all;
  for (const CountedConv& conv : counted_convolutions(s.model, s.batch, s.size, s.dtype))
    for (const auto& [pass, name] : kPasses) {
      if (!has_pass(conv.desc, pass)) continue;
      all.push_back({.name = "conv/" + std::string(name),
                     .shape = text_of(conv.desc),
                     .batch = s.batch,
                     .work = flops_of(conv.desc),
                     .unit = "FLOP",
                     .count = conv.count,
                     .recorded = true,
                     .prepare = [d = conv.desc, pass = pass](Backend& b) { return conv_run(b, d, pass, false); }});
    }
  return all;
}

Operation embed_operation(const Subject& s) { return images_operation("embed", s, prepare<EmbedRun>(s)); }

Operation step_operation(const Subject& s) { return images_operation("step", s, prepare<StepRun>(s)); }

Operation augment_operation(const Subject& s) {
  return {.name = "augment",
          .shape = std::to_string(source_size(s.size)) + " to " + std::to_string(s.size),
          .batch = s.batch,
          .work = 2 * static_cast<double>(s.batch),
          .unit = "views",
          .prepare = prepare<AugmentRun>(s)};
}

}  // namespace dcl::bench
