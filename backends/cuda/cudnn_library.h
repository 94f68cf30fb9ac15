// cuDNN, opened at run time: the backend loads, and says why it cannot run, on machines without it.
#pragma once

#include <cudnn_graph.h>

#include <string>

namespace dcl::cuda {

/// Plans without a handle (CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP) came with this version.
inline constexpr size_t kOldestCudnn = 91100;

/// The entry points this project calls.
struct CudnnLibrary {
  size_t version = 0;  ///< 10000 major + 100 minor + patch
  decltype(&::cudnnCreate) create_handle = nullptr;
  decltype(&::cudnnDestroy) destroy_handle = nullptr;
  decltype(&::cudnnSetStream) set_stream = nullptr;
  decltype(&::cudnnGetErrorString) error_string = nullptr;
  decltype(&::cudnnGetLastErrorString) last_error_string = nullptr;
  decltype(&::cudnnBackendCreateDescriptor) create = nullptr;
  decltype(&::cudnnBackendDestroyDescriptor) destroy = nullptr;
  decltype(&::cudnnBackendSetAttribute) set = nullptr;
  decltype(&::cudnnBackendGetAttribute) get = nullptr;
  decltype(&::cudnnBackendFinalize) finalize = nullptr;
  decltype(&::cudnnBackendExecute) execute = nullptr;

  /// "9.19.0"
  std::string version_text() const;
};

/// Opens libcudnn.so.9 at the first call: $DCL_CUDNN (a file), else where the loader finds it, else beside the toolkit
/// of the build. Throws Error{environment} when there is none, or one of another major version or too old.
const CudnnLibrary& cudnn();

/// Throws what a status means: Error{out_of_memory}, {environment} (driver, version, licence) or {internal}; the
/// message names `what` and holds cuDNN's own words.
[[noreturn]] void fail_cudnn(cudnnStatus_t status, const std::string& what);
inline void check_cudnn(cudnnStatus_t status, const std::string& what) {
  if (status != CUDNN_STATUS_SUCCESS) fail_cudnn(status, what);
}

}  // namespace dcl::cuda
