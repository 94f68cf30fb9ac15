// NPZ archives: written and read back, stored and deflated, every type; damage and what is no array refused.
#include "io/npz.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>

#include "core/error.h"
#include "io/npy_header.h"
#include "support/process.h"
#include "support/zip_bytes.h"

namespace dcl {
namespace {

using test::ZipPart;

std::shared_ptr<const ByteSource> source_of(const std::string& bytes) {
  const auto* first = reinterpret_cast<const std::byte*>(bytes.data());
  return memory_bytes("x.npz", {first, first + bytes.size()});
}

std::unique_ptr<TensorFile> open(const std::vector<ZipPart>& parts) {
  return open_tensor_file(source_of(test::zip_bytes(parts)));
}

ZipPart array(const std::string& name, FileDType type, const std::vector<int64_t>& shape, const std::string& data) {
  return {name + ".npy", npy_preamble(type, shape) + data};
}

std::string refusal(const std::vector<ZipPart>& parts) {
  try {
    open(parts)->verify();
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data) << error.what();
    return error.what();
  }
}

void refused(const std::vector<ZipPart>& parts, const std::string& words) {
  const std::string text = refusal(parts);
  EXPECT_NE(text.find(words), std::string::npos) << "expected '" << words << "' in: " << text;
}

class Npz : public testing::Test {
 protected:
  test::TemporaryFolder folder_;
  std::string path_ = folder_ / "w.npz";
};

TEST_F(Npz, WhatIsWrittenReadsBack) {
  std::vector<float> weight(3 * 700'000);  // several pieces
  std::iota(weight.begin(), weight.end(), -5.0f);
  const std::vector<int64_t> counter = {int64_t{1} << 40};
  const std::vector<uint8_t> bytes = {0, 255};
  const std::vector<TensorSource> tensors = {
      tensor_source<float>("f.0.weight", {3, 700'000}, weight),
      tensor_source_i64("f.1.num_batches_tracked", {}, counter),
      tensor_source<uint8_t>("bytes", {2}, bytes),
      tensor_source<float>("none", {0, 4}, {}),
  };
  const uint64_t written = write_npz(path_, tensors);
  EXPECT_EQ(written, std::filesystem::file_size(path_));
  const auto file = open_tensor_file(std::filesystem::path(path_));
  EXPECT_EQ(file->format(), "NPZ");
  ASSERT_EQ(file->tensors().size(), 4u);
  EXPECT_TRUE(file->notices().empty());
  EXPECT_EQ(file->tensors()[0].name, "f.0.weight");
  EXPECT_EQ(file->at("f.0.weight").shape, (std::vector<int64_t>{3, 700'000}));
  EXPECT_TRUE(file->read_f32("f.0.weight") == weight);
  EXPECT_EQ(file->at("f.1.num_batches_tracked").shape, std::vector<int64_t>{});
  EXPECT_EQ(file->read_i64("f.1.num_batches_tracked"), counter);
  EXPECT_EQ(file->read_u8("bytes"), bytes);
  EXPECT_EQ(file->at("none").shape, (std::vector<int64_t>{0, 4}));
  file->verify();
}

TEST_F(Npz, NumPyHasNoBfloat16) {
  EXPECT_THROW(write_npz(path_, {{"w", FileDType::bf16, {3}, [](const ByteSink&) {}}}), Error);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(Npz, ReadsDeflatedArraysAndArraysInFolders) {
  const std::string data(400'000, 'x');  // longer than any header
  const auto file = open({array("a/b", FileDType::u8, {400'000}, data).deflate(),
                          array("c", FileDType::f32, {1}, std::string("\0\0\x80?", 4)).deflate()});
  EXPECT_EQ(file->at("a/b").shape, std::vector<int64_t>{400'000});
  EXPECT_EQ(file->read_u8("a/b"), std::vector<uint8_t>(400'000, 'x'));
  EXPECT_EQ(file->read_f32("c"), std::vector<float>{1});
}

TEST_F(Npz, RefusesWhatIsNoArray) {
  refused({array("a", FileDType::u8, {2}, "abc")}, "x.npz/a.npy': shape [2] needs 2 bytes of data, the file has 3");
  refused({{"a.npy", "PK no array at all"}}, "no NumPy file");
  refused({{"a.npy", ""}}, "no NumPy file");
  refused({ZipPart("a.npy", "").deflate()}, "no NumPy file");
  refused({{"a.npy", "x"}, {"b.txt", "y"}}, "no PyTorch file");
  refused({{".npy", "x"}}, "no PyTorch file");
}

TEST_F(Npz, NoticesDamage) {
  for (const bool deflated : {false, true}) {
    ZipPart part = array("a", FileDType::u8, {4}, "abcd");
    part.crc ^= 1;
    if (deflated) part.deflate();
    refused({part}, "checksum");
    part.crc = 0;
    const auto file = open({part});
    EXPECT_EQ(file->read_u8("a"), (std::vector<uint8_t>{'a', 'b', 'c', 'd'}));
    ASSERT_EQ(file->notices().size(), 1u);
    EXPECT_NE(file->notices()[0].find("no checksum"), std::string::npos);
  }
}

}  // namespace
}  // namespace dcl
