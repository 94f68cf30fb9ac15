// Projector files of a data set that is larger than the projector shows.
#include "train/projector.h"

#include <gtest/gtest.h>

#include <sstream>

#include "core/registry.h"
#include "data/decode.h"
#include "support/process.h"

namespace dcl {
namespace {

/// `count` images of 16 x 16 pixels that all share their memory: gray, or the last one white.
Dataset many_images(int32_t count) {
  constexpr int64_t kBytes = 16 * 16 * 3;
  Dataset dataset;
  dataset.name = "many";
  dataset.pixels.resize(2 * kBytes);
  std::fill_n(dataset.pixels.data(), kBytes, uint8_t{100});
  std::fill_n(dataset.pixels.data() + kBytes, kBytes, uint8_t{255});
  for (int32_t i = 0; i < count; ++i) {
    dataset.images.push_back({.offset = i + 1 < count ? 0 : kBytes, .h = 16, .w = 16});
    dataset.labels.push_back(i % 2 ? 0 : kUnknownLabel);
    dataset.names.push_back("a\t" + std::to_string(i));
  }
  dataset.classes = {"odd\n"};
  return dataset;
}

std::vector<std::string> lines_of(const std::string& path) {
  std::istringstream text(test::read_text(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

TEST(Projector, TakesImagesEvenly) {
  const test::TemporaryFolder folder;
  const Dataset dataset = many_images(25'000);
  const auto backend = make_backend("eigen");
  const std::string out = folder / "new/folder";
  ProjectorWriter writer(out, dataset, 2);
  EXPECT_EQ(writer.points(), 10'000);
  std::vector<float> rows;
  for (int i = 0; i < 25'000; ++i) rows.insert(rows.end(), {static_cast<float>(i), 0.5f});
  writer.append(std::span(rows).first(2002));
  EXPECT_THROW(writer.commit(*backend), Error);
  writer.append(std::span(rows).subspan(2002));
  writer.commit(*backend);

  const auto features = lines_of(out + "/features.tsv"), names = lines_of(out + "/metadata.tsv");
  ASSERT_EQ(features.size(), 10'000u);
  ASSERT_EQ(names.size(), 10'001u);
  EXPECT_EQ(names[0], "class\tname");
  for (int point = 0; point < 10'000; ++point) {
    const int image = point * 5 / 2;
    ASSERT_EQ(features[point], std::to_string(image) + "\t0.5");
    ASSERT_EQ(names[point + 1], std::string(image % 2 ? "odd " : "unknown") + "\ta " + std::to_string(image));
  }
}

TEST(Projector, NoClassesNoHeader) {
  const test::TemporaryFolder folder;
  Dataset dataset = many_images(3);
  dataset.classes.clear();
  dataset.labels.assign(3, kUnknownLabel);
  dataset.names[0] = "\xC3\xA4\xFF\xE4.png";  // UTF-8 and not
  ProjectorWriter writer(folder.path(), dataset, 1);
  writer.append(std::vector<float>{1, 2, 3});
  writer.commit(*make_backend("eigen"));
  EXPECT_EQ(lines_of(folder / "metadata.tsv"), (std::vector<std::string>{"\xC3\xA4\\xff\\xe4.png", "a 1", "a 2"}));
  EXPECT_NE(test::read_text(folder / "projector_config.pbtxt").find("sprite.png"), std::string::npos);

  const std::string png = test::read_text(folder / "sprite.png");
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(png.data()), png.size());
  const ImageSize size = image_size(bytes);
  EXPECT_EQ(size, (ImageSize{96, 96}));
  std::vector<uint8_t> rgb(96 * 96 * 3);
  decode_rgb(bytes, size, rgb.data());
  const auto tile = [&](int row, int column) {
    return int{rgb[static_cast<size_t>(((row * 48 + 20) * 96 + column * 48 + 20) * 3)]};
  };
  EXPECT_EQ(tile(0, 0), 100);
  EXPECT_EQ(tile(0, 1), 100);
  EXPECT_EQ(tile(1, 0), 255);
  EXPECT_EQ(tile(1, 1), 0);
}

}  // namespace
}  // namespace dcl
