// Decoded pixels against Pillow's convert('RGB'), written by decode_pillow.py with the Python of DCL_PEER_PYTHON.
#include "data/decode.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "core/file.h"
#include "support/process.h"

namespace dcl {
namespace {

struct Difference {
  int largest = 0;
  double mean = 0;
};

Difference difference(const std::vector<uint8_t>& file, const std::vector<uint8_t>& expected) {
  int32_t extent[2];
  std::memcpy(extent, expected.data(), sizeof extent);
  const ImageSize size = image_size(file);
  EXPECT_EQ(size, (ImageSize{extent[0], extent[1]}));
  std::vector<uint8_t> rgb(static_cast<size_t>(size.height) * static_cast<size_t>(size.width) * 3);
  EXPECT_EQ(rgb.size() + sizeof extent, expected.size());
  decode_rgb(file, size, rgb.data());
  Difference out;
  for (size_t i = 0; i < rgb.size(); ++i) {
    const int off = std::abs(int{rgb[i]} - int{expected[i + sizeof extent]});
    out.largest = std::max(out.largest, off);
    out.mean += static_cast<double>(off) / static_cast<double>(rgb.size());
  }
  return out;
}

TEST(DecodeReference, EqualsPillow) {
  const char* python = std::getenv("DCL_PEER_PYTHON");
  if (python == nullptr) GTEST_SKIP() << "DCL_PEER_PYTHON names no Python with Pillow and NumPy";
  const test::TemporaryFolder folder;
  const test::Outcome outcome = test::run({python, DCL_SOURCE_ROOT "/tests/reference/decode_pillow.py", folder.path()});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const bool exact_jpeg = jpeg_decoder().starts_with("libjpeg-turbo") && outcome.out == "libjpeg-turbo\n";
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().extension() == ".rgb") continue;
    const std::string path = entry.path().string();
    const Difference off = difference(read_file(path, 1 << 24), read_file(path + ".rgb", 1 << 24));
    const bool exact = exact_jpeg || entry.path().extension() != ".jpg";
    // Another decoder interpolates subsampled chroma in its own way; without subsampling only its DCT rounds
    // differently.
    const std::string name = entry.path().stem().string();
    const bool subsampled = !name.ends_with("_0") && !name.ends_with("_gray");
    if (exact || !subsampled) {
      EXPECT_LE(off.largest, exact ? 0 : 4) << path << ": mean difference " << off.mean;
    }
    ++files;
  }
  EXPECT_EQ(files, 7 * (24 + 18) + 1);
}

}  // namespace
}  // namespace dcl
