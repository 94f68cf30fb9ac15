// The events of a TensorBoard file, for tests of what is in it.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "io/crc32c.h"
#include "support/process.h"
#include "support/proto_reader.h"

namespace dcl::test {

/// Every record's content; a wrong checksum fails the test.
inline std::vector<std::string> events_of(const std::string& path) {
  const std::string bytes = read_text(path);
  std::vector<std::string> all;
  size_t at = 0;
  const auto take = [&](size_t count) {
    at += count;
    return bytes.substr(at - count, count);
  };
  const auto number = [](const std::string& text) {
    uint64_t value = 0;
    std::memcpy(&value, text.data(), text.size());
    return value;
  };
  while (at < bytes.size()) {
    const std::string length = take(8), length_crc = take(4), data = take(number(length)), data_crc = take(4);
    EXPECT_EQ(number(length_crc), masked_crc32c(length));
    EXPECT_EQ(number(data_crc), masked_crc32c(data));
    all.push_back(data);
  }
  return all;
}

inline std::vector<std::string> event_files(const std::string& folder) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) paths.push_back(entry.path());
  return paths;
}

}  // namespace dcl::test
