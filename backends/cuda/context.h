// What every op needs: the device, the stream it enqueues on, and scratch memory.
#pragma once

#include <cstddef>
#include <vector>

#include "core/extent.h"
#include "cuda/runtime.h"

namespace dcl::cuda {

class Context {
 public:
  Context() : device_(open_device()), stream_(create_stream()) {}
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const Device& device() const { return device_; }
  Stream stream() const { return stream_; }

  /// Memory of one op: undefined contents, valid until the next call. Ops of one stream follow each other, so they may
  /// share it. A block that became too small is kept: work that was enqueued or recorded with it may still run.
  void* scratch(size_t bytes);
  template <class T>
  T* scratch(int64_t count) {
    return static_cast<T*>(scratch(static_cast<size_t>(count) * sizeof(T)));
  }

  /// Blocks of a grid for `pieces` of independent work, enough to fill the device a few times over.
  unsigned grid_for(int64_t pieces) const;

 private:
  struct Block {
    void* data;
    size_t bytes;
  };
  Device device_;
  Stream stream_;
  std::vector<Block> blocks_;  // the last is in use
};

}  // namespace dcl::cuda
