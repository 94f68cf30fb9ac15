#include "c/dcl.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <mutex>
#include <string>
#include <utility>

#include "c/image_model.h"
#include "core/error.h"
#include "core/log.h"
#include "core/parallel.h"
#include "data/decode.h"

namespace {

using dcl::ErrorKind;
using dcl::fail;

static_assert(DCL_INTERNAL == static_cast<int>(ErrorKind::internal) &&
              DCL_USAGE == static_cast<int>(ErrorKind::usage) && DCL_DATA == static_cast<int>(ErrorKind::data) &&
              DCL_ENVIRONMENT == static_cast<int>(ErrorKind::environment) &&
              DCL_IO == static_cast<int>(ErrorKind::io) && DCL_NUMERICAL == static_cast<int>(ErrorKind::numerical) &&
              DCL_OUT_OF_MEMORY == static_cast<int>(ErrorKind::out_of_memory));
static_assert(DCL_OWN_SIZE == dcl::ImageModelOptions::kOwnSize);

thread_local std::string t_error;
thread_local bool t_no_memory_for_error = false;

/// Of the exception that is being handled.
dcl_status failed() noexcept {
  try {
    dcl::Failure failure = dcl::current_failure();
    t_error = std::move(failure.message);
    t_no_memory_for_error = false;
    return static_cast<dcl_status>(failure.kind);
  } catch (...) {
    t_no_memory_for_error = true;
    return DCL_OUT_OF_MEMORY;
  }
}

/// The boundary: no exception passes.
template <class Body>
dcl_status guarded(Body&& body) noexcept {
  try {
    const dcl::CallerThreads threads;
    body();
    return DCL_OK;
  } catch (...) {
    return failed();
  }
}

void require(bool holds, const char* what) {
  if (!holds) fail(ErrorKind::usage, what);
}

/// Models that are open were prepared for the number of threads, so it stays while there are any.
class OpenModels {
 public:
  class Entry {
   public:
    Entry() { all().add(); }
    ~Entry() { all().remove(); }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
  };

  static OpenModels& all() {
    static OpenModels instance;
    return instance;
  }
  void set_threads(int threads) {
    const std::lock_guard lock(mutex_);
    require(count_ == 0, "the number of threads cannot be changed while a model is open");
    threads_ = threads;
  }

 private:
  void add() {
    const std::lock_guard lock(mutex_);
    if (count_ == 0) dcl::set_thread_count(threads_);  // threads may be bound to different numbers of cores
    ++count_;
  }
  void remove() {
    const std::lock_guard lock(mutex_);
    --count_;
  }

  std::mutex mutex_;
  int64_t count_ = 0;
  int threads_ = 0;
};

/// OpenMP keeps compute threads for each thread that calls.
void start_threads_of_caller() {
  thread_local int started = 0;
  if (started == dcl::thread_count()) return;
  dcl::start_threads();
  started = dcl::thread_count();
}

/// A program may be older than the library, and have fewer fields, or newer: then those unknown here must be unused.
dcl_options read_options(const dcl_options* given) {
  constexpr size_t kFirstVersion = offsetof(dcl_options, batch_size) + sizeof(dcl_options::batch_size), kMost = 4096;
  dcl_options options{};
  if (!given) return options;
  const size_t size = given->struct_size;
  require(size >= kFirstVersion && size <= kMost, "dcl_options: struct_size must be sizeof(dcl_options)");
  const auto* bytes = reinterpret_cast<const char*>(given);
  require(std::all_of(bytes + std::min(size, sizeof options), bytes + size, [](char byte) { return byte == 0; }),
          "dcl_options: a field is set that this version of the library does not have");
  std::memcpy(&options, given, std::min(size, sizeof options));
  return options;
}

dcl::ImageModelOptions model_options(const dcl_options& given) {
  dcl::ImageModelOptions options;
  const auto take = [](const char* text, std::string& to) {
    if (text) to = text;
  };
  take(given.device, options.device);
  take(given.dtype, options.dtype);
  take(given.normalization, options.normalization);
  take(given.model_prefix, options.prefix);
  if (given.eval_size < DCL_OWN_SIZE || given.eval_size > dcl::kMostEvalSize)
    fail(ErrorKind::usage,
         "dcl_options: eval_size must be DCL_OWN_SIZE or from 0 to " + std::to_string(dcl::kMostEvalSize));
  require(given.batch_size >= 0 && given.batch_size <= 65536, "dcl_options: batch_size must be from 0 to 65536");
  options.eval_size = given.eval_size;
  if (given.batch_size > 0) options.batch = given.batch_size;
  return options;
}

/// Whether a * b is beyond `most`; both positive.
bool product_exceeds(int64_t a, int64_t b, int64_t most) { return a > most / b; }

dcl::ImagesInMemory checked_images(const uint8_t* pixels, int64_t images, int64_t height, int64_t width,
                                   int64_t row_stride) {
  constexpr int64_t kMostBytes = std::numeric_limits<int64_t>::max();
  require(pixels != nullptr, "pixels must not be null");
  require(images >= 1 && height >= 1 && width >= 1, "images, height and width must be at least 1");
  if (height > dcl::kMaxImageSide || width > dcl::kMaxImageSide || height * width > dcl::kMaxImagePixels)
    fail(ErrorKind::usage, "images of " + std::to_string(height) + " x " + std::to_string(width) +
                               " pixels are too large: at most " + std::to_string(dcl::kMaxImageSide) + " a side and " +
                               std::to_string(dcl::kMaxImagePixels) + " in all");
  if (row_stride == 0) row_stride = 3 * width;
  require(row_stride >= 3 * width, "row_stride must be 0 or at least 3 * width bytes");
  require(!product_exceeds(row_stride, height, kMostBytes) && !product_exceeds(images, row_stride * height, kMostBytes),
          "the images are larger than any memory");
  return {pixels, images, height, width, row_stride};
}

/// width: numbers an image; 0 where classes are asked of an encoder, which the model refuses.
void check_results(int64_t images, int64_t width, const float* results, int64_t room) {
  require(results != nullptr, "results must not be null");
  if (room < 0 || (width > 0 && product_exceeds(images, width, room)))
    fail(ErrorKind::usage, "results has room for " + std::to_string(room) + " numbers, not for " +
                               std::to_string(images) + " x " + std::to_string(width));
}

}  // namespace

struct dcl_model {
  OpenModels::Entry entry;
  dcl::ImageModel model;

  dcl_model(const char* path, const dcl::ImageModelOptions& options) : model(path, options) {}
};

namespace {

/// get(model) into *value.
template <class T, class Get>
dcl_status ask(const dcl_model* model, T* value, Get&& get) noexcept {
  return guarded([&] {
    require(model && value, "model and where the answer goes must not be null");
    *value = get(model->model);
  });
}

}  // namespace

const char* dcl_last_error(void) { return t_no_memory_for_error ? "out of memory" : t_error.c_str(); }

dcl_status dcl_set_log(dcl_log_callback callback, void* user) {
  return guarded([&] {
    if (!callback) return dcl::set_log_sink({});
    dcl::set_log_sink([callback, user](dcl::LogLevel level, std::string_view message) {
      callback(user, level == dcl::LogLevel::warning ? 1 : 0, std::string(message).c_str());
    });
  });
}

dcl_status dcl_set_threads(int threads) {
  return guarded([&] {
    require(threads >= 0 && threads <= 4096, "threads must be from 0 to 4096");
    OpenModels::all().set_threads(threads);
  });
}

dcl_status dcl_open(const char* path, const dcl_options* options, dcl_model** model) {
  return guarded([&] {
    require(model != nullptr, "where the model goes must not be null");
    *model = nullptr;
    require(path != nullptr, "path must not be null");
    const dcl::ImageModelOptions chosen = model_options(read_options(options));
    const OpenModels::Entry opening;
    start_threads_of_caller();
    *model = new dcl_model(path, chosen);
  });
}

void dcl_close(dcl_model* model) {
  guarded([&] { delete model; });
}

dcl_status dcl_features(const dcl_model* model, int64_t* features) {
  return ask(model, features, [](const dcl::ImageModel& m) { return m.dim(); });
}

dcl_status dcl_classes(const dcl_model* model, int64_t* classes) {
  return ask(model, classes, [](const dcl::ImageModel& m) { return std::ssize(m.classes()); });
}

dcl_status dcl_class_name(const dcl_model* model, int64_t index, const char** name) {
  return ask(model, name, [&](const dcl::ImageModel& m) {
    if (index < 0 || index >= std::ssize(m.classes()))
      fail(ErrorKind::usage,
           "there is no class " + std::to_string(index) + " of " + std::to_string(m.classes().size()));
    return m.classes()[static_cast<size_t>(index)].c_str();
  });
}

dcl_status dcl_eval_size(const dcl_model* model, int64_t* size) {
  return ask(model, size, [](const dcl::ImageModel& m) { return m.eval_size(); });
}

dcl_status dcl_device(const dcl_model* model, const char** name) {
  return ask(model, name, [](const dcl::ImageModel& m) { return m.device().c_str(); });
}

dcl_status dcl_embed(dcl_model* model, const uint8_t* pixels, int64_t images, int64_t height, int64_t width,
                     int64_t row_stride, int what, float* results, int64_t room) {
  return guarded([&] {
    require(model != nullptr, "model must not be null");
    require(what == DCL_UNIT_LENGTH || what == DCL_RAW, "dcl_embed gives DCL_UNIT_LENGTH or DCL_RAW");
    const dcl::ImagesInMemory some = checked_images(pixels, images, height, width, row_stride);
    check_results(images, model->model.dim(), results, room);
    start_threads_of_caller();
    model->model.embed(some, what == DCL_UNIT_LENGTH, results);
  });
}

dcl_status dcl_classify(dcl_model* model, const uint8_t* pixels, int64_t images, int64_t height, int64_t width,
                        int64_t row_stride, int what, float* results, int64_t room) {
  return guarded([&] {
    require(model != nullptr, "model must not be null");
    require(what == DCL_PROBABILITIES || what == DCL_LOGITS, "dcl_classify gives DCL_PROBABILITIES or DCL_LOGITS");
    const dcl::ImagesInMemory some = checked_images(pixels, images, height, width, row_stride);
    check_results(images, std::ssize(model->model.classes()), results, room);
    start_threads_of_caller();
    model->model.classify(some, what == DCL_PROBABILITIES, results);
  });
}
