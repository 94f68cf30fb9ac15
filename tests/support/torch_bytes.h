// PyTorch files made byte by byte, and how the library takes them.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "io/torch/torch_file.h"
#include "support/pickle_bytes.h"

namespace dcl::test {

using namespace pickle;

inline std::unique_ptr<TensorFile> open_bytes(const std::string& bytes) {
  const auto* first = reinterpret_cast<const std::byte*>(bytes.data());
  return open_tensor_file(memory_bytes("x.pth", {first, first + bytes.size()}));
}

/// The message with which a file is refused; "" when it is accepted and every tensor reads.
inline std::string refusal(const std::string& bytes) {
  try {
    open_bytes(bytes)->verify();
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data) << error.what();
    const std::string message = error.what();
    EXPECT_NE(message.find("x.pth"), std::string::npos) << message;
    EXPECT_EQ(message.find("x.pth"), message.rfind("x.pth")) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
    return message;
  }
}

inline void refused(const std::string& bytes, const std::string& words) {
  const std::string message = refusal(bytes);
  EXPECT_NE(message.find(words), std::string::npos) << "expected '" << words << "' in: '" << message << "'";
}

/// A file of tensor "w", changed.
inline std::string zip_with(const std::function<void(PickledParts&)>& edit, const std::string& storage = six_floats()) {
  PickledParts parts;
  edit(parts);
  return torch_zip(whole(dict("w", parts.tensor())), storage);
}

inline std::string legacy_with(const std::function<void(PickledParts&, LegacyParts&)>& edit) {
  PickledParts parts;
  parts.view = kNone;
  LegacyParts file;
  edit(parts, file);
  if (file.object.empty()) file.object = whole(dict("w", parts.tensor()));
  return file.bytes();
}

inline std::vector<float> values(const std::string& bytes) { return open_bytes(bytes)->read_f32("w"); }

inline const std::vector<float> kSix = {0, 1, 2, 3, 4, 5};
}  // namespace dcl::test
