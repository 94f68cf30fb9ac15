// What is said of a cuDNN that is missing or does not fit: one line with what was found, what was expected and what to
// do.
#include "cuda/cudnn_library.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "core/error.h"

namespace dcl::cuda {
namespace {

/// The message of opening `file`, which claims to be of `version`.
std::string refusal(const char* file, const char* version = "0") {
  setenv("DCL_CUDNN", file, 1);
  setenv("DCL_FAKE_CUDNN_VERSION", version, 1);
  try {
    cudnn();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::environment);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "";
}

void expect_parts(const std::string& text, std::initializer_list<const char*> parts) {
  for (const char* part : parts) EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
}

TEST(CudnnLibrary, MissingFile) {
  expect_parts(refusal("/nowhere/libcudnn.so.9"), {"cuDNN 9 was not found", "/nowhere/libcudnn.so.9", "DCL_CUDNN"});
}

TEST(CudnnLibrary, TooOldOrOfAnotherMajorVersion) {
  expect_parts(refusal(DCL_FAKE_CUDNN, "90100"), {"cuDNN 9.1.0 was found", "expected 9.11.0 or a newer version 9"});
  expect_parts(refusal(DCL_FAKE_CUDNN, "8907"), {"was found", "expected 9.11.0"});
  expect_parts(refusal(DCL_FAKE_CUDNN, "100000"), {"cuDNN 10.0.0 was found", "or a newer version 9"});
}

TEST(CudnnLibrary, LacksAFunction) {
  expect_parts(refusal(DCL_FAKE_CUDNN, "91900"), {DCL_FAKE_CUDNN, "has no function cudnnCreate"});
}

/// The last: where the machine has a cuDNN of its own, it is that from here on.
TEST(CudnnLibrary, AnEmptyNameIsNone) {
  const std::string message = refusal("");
  if (!message.empty()) expect_parts(message, {"cuDNN 9 was not found", "libcudnn.so.9"});
}

}  // namespace
}  // namespace dcl::cuda
