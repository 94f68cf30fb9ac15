// Fences as events of the stream, step graphs as CUDA graphs.
#pragma once

#include <functional>
#include <memory>

#include "core/queue.h"
#include "cuda/context.h"

namespace dcl::cuda {

/// As Backend::make_fence and Backend::capture. The context must outlive the result.
std::unique_ptr<Fence> make_fence(Context&);
std::unique_ptr<StepGraph> capture(Context&, const std::function<void()>& step);

}  // namespace dcl::cuda
