// Memory, order of work, copies.
#include "core/backend.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <cstdlib>
#include <cstring>

#include "core/extent.h"
#include "core/host_memory.h"
#include "core/op_checks.h"
#include "core/profile.h"

namespace dcl {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

std::string mebibytes(size_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

void* Backend::allocate_host(size_t bytes) {
  const size_t unit = bytes >= kHugePage ? kHugePage : kCacheLine;
  const size_t whole = padded(bytes, unit);
  require_host_memory(whole);
  void* data = whole >= bytes ? std::aligned_alloc(unit, whole) : nullptr;
  if (!data) fail(ErrorKind::out_of_memory, "cannot allocate " + mebibytes(bytes) + " of memory: use a smaller batch");
#ifdef __linux__
  if (unit == kHugePage) ::madvise(data, whole, MADV_HUGEPAGE);  // a wish: fewer page faults and translations
#endif
  std::memset(data, 0, whole);
  return data;
}

void Backend::release_host(void* data, size_t) noexcept { std::free(data); }

std::unique_ptr<Fence> Backend::make_fence() { return std::make_unique<Fence>(); }

std::unique_ptr<StepGraph> Backend::capture(const std::function<void()>& step) {
  return OpTimer::enabled() ? Backend::do_capture(step) : do_capture(step);
}

std::unique_ptr<StepGraph> Backend::do_capture(const std::function<void()>& step) {
  class Repeated : public StepGraph {
   public:
    explicit Repeated(std::function<void()> step) : step_(std::move(step)) {}
    void replay() override { step_(); }

   private:
    std::function<void()> step_;
  };
  return std::make_unique<Repeated>(step);
}

void Backend::set_f32_math(F32Math math) {
  if (math == F32Math::tf32 && !has_tf32())
    fail(ErrorKind::environment,
         "device '" + info().name + "' has no tf32 arithmetic: use f32 or bf16, or a GPU that has it");
  f32_math_ = math;
}

void Backend::copy(ConstTensorRef from, TensorRef to) {
  const OpTimer timer("copy", *this);
  expect("copy", "to", to, from.shape, from.dtype);
  do_copy(from, to);
}

void Backend::fill(TensorRef to, float value) {
  const OpTimer timer("fill", *this);
  require(to.dtype == DType::f32 || to.dtype == DType::bf16 || to.dtype == DType::f64, "fill", "dtype must be a float");
  do_fill(to, value);
}

}  // namespace dcl
