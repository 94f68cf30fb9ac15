// What tests of the C interface in one process share.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "c/dcl.h"
#include "support/process.h"
#include "support/random_model.h"

namespace dcl::test {

inline constexpr int64_t kSide = 16, kWidth = 512, kBytes = 3 * kSide * kSide;

/// An encoder in a file, images, and the models that a test opens.
class CModel : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    suite_folder_ = new TemporaryFolder;
    encoder_ = write_random_model(*suite_folder_ / "encoder.safetensors");
  }
  static void TearDownTestSuite() { delete suite_folder_; }
  void SetUp() override {
    for (size_t i = 0; i < pixels_.size(); ++i) pixels_[i] = static_cast<uint8_t>(i * i * 7 + i / 13);
    options_.struct_size = sizeof options_;
    options_.device = "eigen";
    options_.batch_size = 4;
  }
  void TearDown() override {
    for (dcl_model* model : open_) dcl_close(model);
    dcl_set_log(nullptr, nullptr);
    EXPECT_EQ(dcl_set_threads(0), DCL_OK);
  }

  dcl_model* open(const std::string& path) {
    dcl_model* model = nullptr;
    EXPECT_EQ(dcl_open(path.c_str(), &options_, &model), DCL_OK) << dcl_last_error();
    open_.push_back(model);
    return model;
  }
  dcl_status opened(const std::string& path, const dcl_options* options) {
    dcl_model* model = reinterpret_cast<dcl_model*>(this);
    const dcl_status status = dcl_open(path.c_str(), options, &model);
    EXPECT_NE(status, DCL_OK);
    EXPECT_EQ(model, nullptr);
    return status;
  }
  dcl_status opened(const std::string& path) { return opened(path, &options_); }
  /// Features of unit length of the first images.
  std::vector<float> embed(dcl_model* model, int64_t images) {
    std::vector<float> rows(static_cast<size_t>(images * kWidth));
    EXPECT_EQ(dcl_embed(model, pixels_.data(), images, kSide, kSide, 0, DCL_UNIT_LENGTH, rows.data(), std::ssize(rows)),
              DCL_OK)
        << dcl_last_error();
    return rows;
  }
  static void expect(dcl_status status, dcl_status expected, const std::string& words) {
    EXPECT_EQ(status, expected) << dcl_last_error();
    EXPECT_NE(std::string(dcl_last_error()).find(words), std::string::npos) << dcl_last_error();
  }

  static inline TemporaryFolder* suite_folder_ = nullptr;
  static inline std::string encoder_;
  TemporaryFolder folder_;
  std::vector<uint8_t> pixels_ = std::vector<uint8_t>(9 * kBytes);
  std::vector<float> results_ = std::vector<float>(9 * kWidth);
  dcl_options options_{};
  std::vector<dcl_model*> open_;
};

}  // namespace dcl::test
