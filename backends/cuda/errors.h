// CUDA's status codes as errors of this project. After an error that spoils the context (illegal address, launch
// failure, lost device) no further CUDA call is made: require_context() refuses, and the process is meant to end.
#pragma once

#include <cuda_runtime_api.h>

#include "core/error.h"

namespace dcl::cuda {

/// Throws unless `status` is cudaSuccess: Error{out_of_memory} for memory, Error{environment} for the rest.
/// `what`: what was being done, in words.
void check(cudaError_t status, const char* what);

/// CUDA's words for a status, with its name.
std::string words(cudaError_t status);

/// After a library of NVIDIA's has failed: throws, as check() does, when the cause is that the context is lost.
void require_intact_context();

/// Throws Error{environment} when the context is lost. Before every group of CUDA calls.
void require_context();
bool context_lost() noexcept;

/// Versions as "13.0", from CUDA's 1000 major + 10 minor.
std::string version_text(int version);

}  // namespace dcl::cuda
