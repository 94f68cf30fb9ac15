#include "cuda/errors.h"

#include <atomic>
#include <string>

namespace dcl::cuda {
namespace {

std::atomic<bool> lost{false};

/// Errors after which every further call of the process fails too, or that leave memory in doubt.
bool spoils_context(cudaError_t status) {
  // cudaErrorContained, TensorMemoryLeak, MpsClientTerminated, ExternalDevice, which older toolkits do not name
  constexpr int kContained = 226, kTensorMemoryLeak = 721, kMpsClientTerminated = 810, kExternalDevice = 911;
  switch (static_cast<int>(status)) {
    case kContained:
    case kTensorMemoryLeak:
    case kMpsClientTerminated:
    case kExternalDevice:
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorDevicesUnavailable:
    case cudaErrorContextIsDestroyed:
    case cudaErrorUnknown:
      return true;
    default:
      return false;
  }
}

constexpr const char* kLost = "the CUDA context is lost: end this process and resume from the last checkpoint";

}  // namespace

std::string words(cudaError_t status) {
  return std::string(cudaGetErrorString(status)) + " (" + cudaGetErrorName(status) + ")";
}

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // CUDA would report it once more, after the next launch
  if (spoils_context(status)) {
    lost = true;
    fail(ErrorKind::environment, std::string(what) + ": " + words(status) + "; " + kLost);
  }
  if (status == cudaErrorMemoryAllocation)
    fail(ErrorKind::out_of_memory, std::string(what) + ": out of device memory: use a smaller batch");
  fail(ErrorKind::environment, std::string(what) + ": " + words(status));
}

void require_intact_context() {
  require_context();
  const cudaError_t status = cudaDeviceSynchronize();
  if (spoils_context(status)) check(status, "work on the GPU");
}

void require_context() {
  if (lost) fail(ErrorKind::environment, kLost);
}

bool context_lost() noexcept { return lost; }

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace dcl::cuda
