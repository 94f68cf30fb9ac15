// Counters in the metadata of a checkpoint: those of a file from elsewhere, whose checksums are right, may be anything.
#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"
#include "support/process.h"
#include "train/checkpoint.h"

namespace dcl {
namespace {

/// What the checkpoint with these facts, and without any tensor, is refused for.
std::string refusal_of(const CheckpointFacts& facts) {
  const test::TemporaryFolder temporary;
  const CheckpointFolder folder(temporary.path());
  folder.save(facts, {}, {});
  try {
    open_checkpoint(folder.model_path(facts.position.step));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
    return error.what();
  }
  return "nothing";
}

TEST(CheckpointCounts, BelowZeroAreRefused) {
  EXPECT_NE(refusal_of({.position = {.step = -5}}).find("dcl.step"), std::string::npos);
}

TEST(CheckpointCounts, ThatNoRunComesToAreRefused) {
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  const std::vector<CheckpointFacts> impossible = {
      {.position = {.step = kHuge}},
      {.position = {.step = 10, .epoch = 11}},
      {.position = {.step = kHuge / 16, .epoch = kHuge / 16}},
      {.position = {.step = 10, .epoch = 1, .step_in_epoch = kHuge}},
      {.position = {.step = 10, .epoch = 1}, .left_out = {.steps = 11}},
  };
  for (const CheckpointFacts& facts : impossible) {
    const std::string refusal = refusal_of(facts);
    EXPECT_NE(refusal.find("no run comes to step"), std::string::npos) << refusal;
  }
  EXPECT_EQ(refusal_of({.position = {.step = 10, .epoch = 9, .step_in_epoch = 1}, .left_out = {.steps = 10}}),
            "nothing");
}

}  // namespace
}  // namespace dcl
