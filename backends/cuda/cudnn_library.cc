#include "cuda/cudnn_library.h"

#include <dlfcn.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/environment.h"
#include "core/error.h"

namespace dcl::cuda {
namespace {

constexpr const char* kFile = "libcudnn.so.9";
constexpr size_t kMajor = 9;

std::string text_of(size_t version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

std::vector<std::string> candidates() {
  if (std::string file = environment_variable("DCL_CUDNN"); !file.empty()) return {std::move(file)};
  return {kFile, std::string(DCL_CUDNN_DIR) + "/" + kFile};
}

void* open_library(std::string& path) {
  std::string reason;
  for (const std::string& candidate : candidates()) {
    path = candidate;
    if (void* handle = dlopen(candidate.c_str(), RTLD_NOW | RTLD_GLOBAL)) return handle;
    const char* error = dlerror();
    if (reason.empty()) reason = error ? error : "it cannot be loaded";
  }
  fail(ErrorKind::environment,
       "cuDNN 9 was not found (" + reason + "): install it, or name libcudnn.so.9 in DCL_CUDNN");
}

CudnnLibrary load() {
  std::string path;
  void* handle = open_library(path);
  CudnnLibrary library;
  const auto find = [&](const char* name, auto& entry) {
    entry = reinterpret_cast<std::remove_reference_t<decltype(entry)>>(dlsym(handle, name));
    if (!entry)
      fail(ErrorKind::environment,
           path + " has no function " + name + ": expected cuDNN " + text_of(kOldestCudnn) + " or newer");
  };
  decltype(&::cudnnGetVersion) get_version = nullptr;
  find("cudnnGetVersion", get_version);
  library.version = get_version();
  if (library.version / 10000 != kMajor || library.version < kOldestCudnn)
    fail(ErrorKind::environment, "cuDNN " + text_of(library.version) + " was found (" + path + "), expected " +
                                     text_of(kOldestCudnn) +
                                     " or a newer version 9: install one, or name its libcudnn.so.9 in DCL_CUDNN");
  find("cudnnCreate", library.create_handle);
  find("cudnnDestroy", library.destroy_handle);
  find("cudnnSetStream", library.set_stream);
  find("cudnnGetErrorString", library.error_string);
  find("cudnnGetLastErrorString", library.last_error_string);
  find("cudnnBackendCreateDescriptor", library.create);
  find("cudnnBackendDestroyDescriptor", library.destroy);
  find("cudnnBackendSetAttribute", library.set);
  find("cudnnBackendGetAttribute", library.get);
  find("cudnnBackendFinalize", library.finalize);
  find("cudnnBackendExecute", library.execute);
  return library;
}

bool is_environment(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_NOT_INITIALIZED:
    case CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH:
    case CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED:
    case CUDNN_STATUS_LICENSE_ERROR:
    case CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string CudnnLibrary::version_text() const { return text_of(version); }

const CudnnLibrary& cudnn() {
  static const CudnnLibrary library = load();  // a failed load is tried again at the next call
  return library;
}

void fail_cudnn(cudnnStatus_t status, const std::string& what) {
  char words[1024] = "";
  cudnn().last_error_string(words, sizeof words);
  std::ranges::replace(words, '\n', ' ');
  const std::string message = "cuDNN " + cudnn().version_text() + ", " + what + ": " + cudnn().error_string(status) +
                              (*words ? ": " : "") + words;
  const bool memory = status == CUDNN_STATUS_ALLOC_FAILED ||
                      status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
                      status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
  fail(memory                   ? ErrorKind::out_of_memory
       : is_environment(status) ? ErrorKind::environment
                                : ErrorKind::internal,
       message);
}

}  // namespace dcl::cuda
