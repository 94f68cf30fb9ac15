// Host memory, copies and casts, and what this backend says of itself.
#include <cstring>
#include <new>
#include <string>

#include "core/parallel.h"
#include "core/processor.h"
#include "core/registry.h"
#include "eigen/eigen_backend.h"
#include "eigen/kernels/isa.h"

namespace dcl {
namespace {

constexpr int64_t kCopyGrain = 1 << 18;  // elements a piece: fits L2 in any dtype

template <class From, class To>
void convert(const From* from, To* to, int64_t count) {
  parallel_chunks(count, kCopyGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = static_cast<To>(from[i]);
  });
}

template <class T>
void fill_with(TensorRef to, T value) {
  T* data = to.as<T>();
  parallel_chunks(to.shape.elements(), kCopyGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) data[i] = value;
  });
}

std::unique_ptr<Backend> create() { return std::make_unique<EigenBackend>(); }

}  // namespace

const BackendModule* eigen_backend_module() {
  static const BackendModule module{kBackendInterface, "eigen", &create};
  return &module;
}

BackendInfo EigenBackend::info() const {
  return {"eigen",
          "CPU, " + std::to_string(thread_count()) + " threads, kernels for " + kernels::name_of(kernels::active_isa()),
          {},
          {},
          {{"processor", processor_name()}, {"kernels", kernels::name_of(kernels::active_isa())}}};
}

void* EigenBackend::allocate(size_t bytes) { return allocate_host(bytes); }
void EigenBackend::release(void* data, size_t bytes) noexcept { release_host(data, bytes); }

void EigenBackend::copy_in(TensorRef to, const void* host) { std::memcpy(to.data, host, to.bytes()); }
void EigenBackend::copy_out(void* host, ConstTensorRef from) { std::memcpy(host, from.data, from.bytes()); }
void EigenBackend::do_copy(ConstTensorRef from, TensorRef to) { std::memcpy(to.data, from.data, from.bytes()); }

void EigenBackend::do_fill(TensorRef to, float value) {
  switch (to.dtype) {
    case DType::bf16:
      return fill_with(to, bf16(value));
    case DType::f64:
      return fill_with(to, static_cast<double>(value));
    default:
      return fill_with(to, value);
  }
}

void EigenBackend::do_cast(ConstTensorRef from, TensorRef to) {
  const int64_t count = from.shape.elements();
  if (from.dtype == to.dtype) return do_copy(from, to);
  if (from.dtype == DType::f32) return convert(from.as<float>(), to.as<bf16>(), count);
  convert(from.as<bf16>(), to.as<float>(), count);
}

}  // namespace dcl
