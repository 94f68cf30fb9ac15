// OpRun notices what it promises to notice.
#include "support/op_run.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/registry.h"

namespace dcl::test {
namespace {

class OpRunTest : public testing::Test {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend("eigen");
  OpRun run_{*backend_};
  ConstTensorRef x_ = run_.input(filled({2, 3}, DType::f32, Fill::uniform, 1));
  TensorRef y_ = run_.output({2, 3}, DType::f32);
};

TEST_F(OpRunTest, GivesBackWhatTheOpWrote) {
  run_.run([&] { backend_->copy(x_, y_); });
  EXPECT_EQ(run_.result(y_), run_.result({const_cast<void*>(x_.data), x_.shape, x_.dtype}));
}

TEST_F(OpRunTest, OutputsStartAsNaN) {
  run_.run([] {});
  for (const double value : run_.result(y_)) EXPECT_TRUE(std::isnan(value));
}

TEST_F(OpRunTest, SeesAChangedInput) {
  EXPECT_NONFATAL_FAILURE(run_.run([&, first = true]() mutable {
    if (first) static_cast<float*>(const_cast<void*>(x_.data))[5] += 1;
    first = false;
  }),
                          "input 0 was changed");
}

TEST_F(OpRunTest, SeesOtherBits) {
  EXPECT_NONFATAL_FAILURE(run_.run([&, call = 0.0f]() mutable { y_.as<float>()[0] = call < 3 ? 0 : 1, ++call; }),
                          "other bits in run 1 with 2 threads");
}

#if !defined(__SANITIZE_ADDRESS__)  // which stops such a program at once
TEST_F(OpRunTest, SeesAWriteBeforeAndPast) {
  EXPECT_NONFATAL_FAILURE(run_.run([&, first = true]() mutable {
    if (first) y_.as<float>()[-1] = 0;
    first = false;
  }),
                          "wrote before operand 1");
  EXPECT_NONFATAL_FAILURE(run_.run([&, first = true]() mutable {
    if (first) y_.as<float>()[6] = 0;
    first = false;
  }),
                          "wrote past operand 1");
}
#endif

}  // namespace
}  // namespace dcl::test
