// Runs a kernel without a GPU: block after block, every CUDA thread a fiber, so that the kernels' own sources are
// tested. What it finds is what a GPU would hide or turn into chance:
//  * Threads run in an order that changes with every launch and at every barrier: a missing barrier changes results.
//  * Shared memory is all ones (NaN) when a block starts, and guarded: writes past an array are reported.
//  * Sixteen bytes at a time from an address that is not a multiple of sixteen are reported.
//  * A copy that arrives later (tensor_product.h) arrives as late as it may.
//  * Scratch memory is NaN for every op that asks for it.
//  * A barrier that some threads of the block do not reach, or reach at another line, is reported, and so is a warp
//    operation that some lanes of its mask do not reach, and a shuffle from a lane outside the mask.
// DCL_EMULATION_CAPABILITY (90) is the compute capability that the device says it has. Reports are Error{internal}
// naming file and line. Blocks cannot wait for each other: there are no cooperative launches.
#pragma once

#include <cstddef>
#include <functional>
#include <source_location>

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace dcl::cuda::emulation {

struct Index3 {
  unsigned x = 0, y = 0, z = 0;
};

/// Shared memory that a block may have: that of the smallest GPU there are kernels for (7.5), and of the smallest with
/// tensor cores for tf32 (8.6).
inline constexpr size_t kSharedMemoryOfBlock = 64 << 10, kSharedMemoryWithTf32 = 99 << 10;

struct WarpProduct;

/// Calls body once for every thread of the grid; one launch at a time. DCL_EMULATION_SEED chooses the first order.
void run_grid(dim3 grid, dim3 block, size_t dynamic_shared_bytes, const std::function<void()>& body);

// ---- For the running thread (language.h) -----------------------------------------------------------------------
enum class WarpOp { barrier, ballot, from_lane, from_xor, from_below, from_above, product };
struct WarpCall {
  WarpOp op;
  unsigned mask;
  int argument, width;
  bool operator==(const WarpCall&) const = default;
};
void block_barrier(const std::source_location& where);
/// Waits for the lanes of the mask; `value` (up to 8 bytes) goes out and the result comes back in it.
void warp_exchange(const WarpCall& call, void* value, size_t bytes, const std::source_location& where);
/// Products of a whole warp (tensor_core.h).
void warp_products(const WarpProduct* products, int count,
                   std::source_location where = std::source_location::current());
/// To shared memory; from null: zeros.
void copy_later(void* to, const void* from, size_t bytes);
void end_copies();
void await_copies(unsigned underway);
/// The block's array that belongs to `key`, the same for all its threads.
void* shared_array(const void* key, const char* name, size_t bytes);
void* dynamic_shared();
/// An access to as many bytes at once as `alignment`.
void vector_access(const void* at, size_t alignment);

}  // namespace dcl::cuda::emulation
