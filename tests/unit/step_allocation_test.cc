// A training step allocates nothing after the first: every malloc of the process is counted, on every thread. The one
// exception is oneDNN's own bookkeeping: primitives are executed through the C interface with arguments on the stack,
// and all that is left comes from inside of dnnl_primitive_execute (2.6.3, by the call stacks of a step: 336 in all,
// the nodes and buckets of the map it makes of the arguments and its threads' functions, of 24 to 160 bytes; 304 where
// a convolution uses AMX). There, nothing larger is allowed.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/registry.h"
#include "support/allocation_count.h"
#include "train/pretrain_step.h"

namespace dcl {
namespace {

/// Steps of a whole run as the loop does them: loader, network, objective, optimizer.
void expect_no_allocation(const std::string& backend_name, DType dtype, OptimizerKind optimizer) {
  const auto backend = make_backend(backend_name);
  const Dataset data = load_dataset({.name = "shapes", .split = "train", .shapes_count = 8, .shapes_size = 16});
  PretrainSettings settings;
  settings.model.arch = "resnet18";
  settings.augment.size = 16;
  settings.batch = 2;
  settings.dtype = dtype;
  settings.optimizer.kind = optimizer;
  LoaderOptions options;
  options.augment = augment_desc(settings.augment);
  options.batch = settings.batch;
  options.dtype = dtype;
  options.threads = 1;
  Loader loader(data, *backend, training_views(settings.augment, 0), options);
  PretrainStep step(*backend, settings);
  loader.start();
  const auto train = [&](int64_t i) {
    step.run(*loader.next(), i, 1e-3);
    step.report();
  };
  for (int64_t i = 0; i < 2; ++i) train(i);
  test::smallest_counted = std::max<size_t>(test::kOpenMpsOwn, backend_name == "onednn" ? 320 : 0);
  const int64_t before = test::allocations;
  for (int64_t i = 2; i < 5; ++i) train(i);  // an epoch has 4 steps: its end is inside
  const int64_t after = test::allocations;
  test::smallest_counted = test::kOpenMpsOwn;
  loader.stop();
  EXPECT_EQ(after - before, 0) << backend_name << " " << name_of(dtype);
}

TEST(StepAllocation, CountingWorks) {
  const int64_t before = test::allocations;
  int* const volatile made = new int[1000];
  delete[] made;
  EXPECT_GE(test::allocations - before, 1);
}

TEST(StepAllocation, NothingAfterTheFirstStep) {
  for (const BackendStatus& status : list_backends()) {
    if (!status.available || status.name == "cuda") continue;
    for (const DType dtype : {DType::f32, DType::bf16}) expect_no_allocation(status.name, dtype, OptimizerKind::adam);
    expect_no_allocation(status.name, DType::f32, OptimizerKind::lars);
  }
}

}  // namespace
}  // namespace dcl
