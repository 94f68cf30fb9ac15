// Values of tensors in files: cast to another type on the way to a new file, and summed up.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "io/convert.h"
#include "io/safetensors.h"
#include "io/tensor_cast.h"
#include "io/tensor_summary.h"
#include "support/process.h"

namespace dcl {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Half, EveryOneComesBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = half_to_float(static_cast<uint16_t>(bits));
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(half_to_float(float_to_half(value)))) << bits;
    else
      EXPECT_EQ(float_to_half(value), bits);
  }
}

TEST(Half, RoundsToTheNearestAndTiesToEven) {
  // Between any two neighbours: their exact middle goes to the even one, and what is just beside it to its own side.
  for (uint16_t low = 0; low < 0x7BFF; ++low) {
    const float a = half_to_float(low), b = half_to_float(static_cast<uint16_t>(low + 1)), middle = (a + b) / 2;
    ASSERT_EQ(float_to_half(middle), low % 2 == 0 ? low : low + 1) << low;
    ASSERT_EQ(float_to_half(std::nextafter(middle, 0.0f)), low) << low;
    ASSERT_EQ(float_to_half(std::nextafter(middle, kInfinity)), low + 1) << low;
    ASSERT_EQ(float_to_half(-middle), 0x8000 | (low % 2 == 0 ? low : low + 1)) << low;
  }
  EXPECT_EQ(float_to_half(65519.996f), 0x7BFF);
  EXPECT_EQ(float_to_half(65520.0f), 0x7C00);
  EXPECT_EQ(float_to_half(-kInfinity), 0xFC00);
}

class TensorValues : public testing::Test {
 protected:
  /// A file with one tensor "x".
  std::unique_ptr<SafetensorsFile> file_with(const std::vector<float>& values) {
    std::vector<TensorSource> sources;
    sources.push_back(tensor_source<float>("x", {static_cast<int64_t>(values.size())}, values));
    write_safetensors(folder_ / "in.safetensors", std::move(sources), {});
    return std::make_unique<SafetensorsFile>(folder_ / "in.safetensors");
  }
  std::unique_ptr<SafetensorsFile> cast(const TensorFile& file, FileDType type) {
    std::vector<TensorSource> sources;
    sources.push_back(cast_source(file, file.at("x"), "y", type));
    write_safetensors(folder_ / "out.safetensors", std::move(sources), {});
    return std::make_unique<SafetensorsFile>(folder_ / "out.safetensors");
  }

  test::TemporaryFolder folder_;
};

TEST_F(TensorValues, CastsRoundAndGoOverPieces) {
  std::vector<float> values(600'000);  // more than two pieces
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i)) * 3;
  const auto file = file_with(values);
  for (const FileDType type : {FileDType::f16, FileDType::bf16}) {
    const auto out = cast(*file, type);
    EXPECT_EQ(out->at("y").dtype, type);
    EXPECT_EQ(out->at("y").shape, file->at("x").shape);
    const std::vector<float> got = out->read_f32("y");
    const float unit = type == FileDType::f16 ? 0x1p-11f : 0x1p-8f;
    for (size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(got[i], values[i], std::abs(values[i]) * unit + 0x1p-25f);
  }
  EXPECT_EQ(cast(*file, FileDType::f32)->read_f32("y"), values);
}

TEST_F(TensorValues, AValueThatDoesNotFitIsRefusedAndNamed) {
  const auto file = file_with({1, 70000});
  try {
    cast(*file, FileDType::f16);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
    EXPECT_NE(std::string(error.what()).find("tensor 'x' has the value 70000"), std::string::npos) << error.what();
  }
  EXPECT_EQ(cast(*file, FileDType::bf16)->read_f32("y")[1], 70144.0f);
  EXPECT_EQ(cast(*file_with({kInfinity}), FileDType::f16)->read_f32("y")[0], kInfinity);
}

TEST_F(TensorValues, SummaryCountsWhatIsNotFinite) {
  const auto file = file_with({3, std::nanf(""), -4, kInfinity, -kInfinity, 0});
  const TensorSummary summary = summarize(*file, file->at("x"));
  EXPECT_EQ(summary.nan, 1);
  EXPECT_EQ(summary.infinite, 2);
  EXPECT_EQ(summary.finite, 3);
  EXPECT_EQ(summary.norm, 5);
  EXPECT_EQ(summary.min, -4);
  EXPECT_EQ(summary.max, 3);
  EXPECT_NEAR(summary.mean, -1.0 / 3, 1e-15);
  EXPECT_EQ(summary.hash, file->metadata("dcl.xxh3/x"));
}

TEST_F(TensorValues, SummaryOfNothing) {
  const auto file = file_with({});
  const TensorSummary summary = summarize(*file, file->at("x"));
  EXPECT_EQ(summary.finite, 0);
  EXPECT_EQ(summary.mean, 0);
}

TEST_F(TensorValues, HashOfAFile) {
  test::write_text(folder_ / "empty", "");
  EXPECT_EQ(hash_of(*file_bytes(folder_ / "empty")), "99aa06d3014798d86001c324468d497f");  // xxhsum -H2
  test::write_text(folder_ / "text", std::string(3'000'000, 'a'));
  test::write_text(folder_ / "other", std::string(2'999'999, 'a') + "b");
  EXPECT_NE(hash_of(*file_bytes(folder_ / "text")), hash_of(*file_bytes(folder_ / "other")));
}

}  // namespace
}  // namespace dcl
