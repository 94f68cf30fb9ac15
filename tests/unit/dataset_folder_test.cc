// Folders of images: classes, order, splits, unlabelled images, names that need care, links.
#include <gtest/gtest.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/log.h"
#include "core/parallel.h"
#include "data/dataset.h"
#include "support/image_fixtures.h"
#include "support/oracle_pillow.h"
#include "support/process.h"
#include "train/pretrain_settings.h"

namespace dcl {
namespace {

namespace fs = std::filesystem;
using test::Bytes;

class Folder : public testing::Test {
 protected:
  /// A PNG of width x height whose bytes all are `value`.
  void image(const std::string& name, uint8_t value, uint32_t width = 2, uint32_t height = 1) {
    folder_.write(name, test::text_of(test::make_png(width, height, Bytes(size_t{3} * width * height, value))));
  }
  Dataset load(const std::string& split = "train", int32_t shorter_side = 0) {
    DatasetSpec spec;
    spec.shorter_side = shorter_side;
    spec.name = "folder";
    spec.dir = folder_.path();
    spec.split = split;
    return load_dataset(spec);
  }
  void write(const std::string& name, const test::Picture& picture) {
    folder_.write(name, test::text_of(test::make_png(static_cast<uint32_t>(picture.w), static_cast<uint32_t>(picture.h),
                                                     picture.bytes)));
  }
  static Bytes bytes_of(const Dataset& data, size_t i) {
    const PooledImage& image = data.images[i];
    const uint8_t* begin = data.image(static_cast<int64_t>(i));
    return {begin, begin + int64_t{3} * image.h * image.w};
  }
  test::TemporaryFolder folder_;
};

TEST_F(Folder, ClassesAndFilesAreSortedAsImageFolderSortsThem) {
  image("b/2.png", 1);
  image("b/10.png", 2);
  image("B/x.PNG", 3);
  image("a/z/1.png", 4);
  image("a/z-1/1.png", 5);
  image("a/y.png", 6);
  image("a/z/deep/1.png", 7);
  const Dataset data = load();
  EXPECT_EQ(data.classes, (std::vector<std::string>{"B", "a", "b"}));
  EXPECT_EQ(data.names, (std::vector<std::string>{"B/x.PNG", "a/y.png", "a/z/1.png", "a/z-1/1.png", "a/z/deep/1.png",
                                                  "b/10.png", "b/2.png"}));
  EXPECT_EQ(data.labels, (std::vector<int32_t>{0, 1, 1, 1, 1, 2, 2}));
  const int expected[] = {3, 6, 4, 5, 7, 2, 1};
  for (int64_t i = 0; i < 7; ++i) EXPECT_EQ(*data.image(i), expected[i]) << data.names[static_cast<size_t>(i)];
}

TEST_F(Folder, HowFarReadingHasComeIsTold) {
  constexpr int64_t kImages = 1100;  // more than are read at a time
  for (int i = 0; i < kImages; ++i) image("a/" + std::to_string(i) + ".png", 1, 1);
  std::vector<int64_t> told;
  DatasetSpec spec{.name = "folder", .dir = folder_.path()};
  spec.on_images = [&](int64_t done, int64_t all) {
    EXPECT_EQ(all, kImages);
    told.push_back(done);
  };
  EXPECT_EQ(load_dataset(spec).size(), kImages);
  ASSERT_GE(told.size(), 2u);
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
  EXPECT_EQ(told.back(), kImages);
}

TEST_F(Folder, LargerImagesAreShrunkAsByPillow) {
  test::Picture wide(23, 71);
  for (size_t i = 0; i < wide.bytes.size(); ++i) wide.bytes[i] = static_cast<uint8_t>(i * i * 31 + i / 7);
  test::Picture tall(71, 23);
  tall.bytes = wide.bytes;
  write("1.png", wide);
  write("2.png", tall);
  write("3.png", test::Picture(10, 300));
  const Dataset data = load("train", 10);
  ASSERT_EQ(data.size(), 3);
  EXPECT_EQ(data.images[0], (PooledImage{0, 10, 30}));  // 10 * 71 / 23 = 30.9
  EXPECT_EQ(data.images[1], (PooledImage{3 * 10 * 30, 30, 10}));
  EXPECT_EQ(data.images[2], (PooledImage{6 * 10 * 30, 10, 300})) << "is no larger";
  EXPECT_TRUE(bytes_of(data, 0) == test::oracle_resize(wide, 10, 30).bytes);
  EXPECT_TRUE(bytes_of(data, 1) == test::oracle_resize(tall, 30, 10).bytes);
  const Dataset whole = load("train", 24);
  EXPECT_EQ(whole.images[0], (PooledImage{0, 23, 71}));
  EXPECT_TRUE(bytes_of(whole, 0) == wide.bytes);
}

TEST_F(Folder, OnlyAFolderHasSizesToShrink) {
  DatasetSpec spec;
  spec.shorter_side = 16;
  EXPECT_THROW(load_dataset(spec), Error);
}

TEST_F(Folder, ImagesMayDifferInSizeAndFormat) {
  image("c/1.png", 9, 5, 3);
  image("c/2.png", 8, 1, 7);
  test::write_text(folder_ / "c/3.jpeg", test::text_of(test::small_jpeg()));
  test::write_text(folder_ / "c/4.jpg", test::text_of(test::make_png(1, 1, {1, 2, 3})));  // the content decides
  const Dataset data = load();
  ASSERT_EQ(data.size(), 4);
  EXPECT_EQ(data.images[0], (PooledImage{0, 3, 5}));
  EXPECT_EQ(data.images[1], (PooledImage{45, 7, 1}));
  EXPECT_EQ(data.images[2].h, 8);
  EXPECT_EQ(data.images[2].w, 16);
  EXPECT_EQ(data.image(3)[2], 3);
  EXPECT_FALSE(data.uniform());
}

TEST_F(Folder, WithoutClassesNothingIsLabelled) {
  image("2.png", 2);
  image("1.png", 1);
  const Dataset data = load();
  EXPECT_TRUE(data.classes.empty());
  EXPECT_EQ(data.names, (std::vector<std::string>{"1.png", "2.png"}));
  EXPECT_EQ(data.labels, (std::vector<int32_t>{-1, -1}));
}

TEST_F(Folder, ImagesBesideClassesHaveNoLabel) {
  image("loose.png", 1);
  image("zebra/1.png", 2);
  const Dataset data = load();
  EXPECT_EQ(data.names, (std::vector<std::string>{"zebra/1.png", "loose.png"}));
  EXPECT_EQ(data.labels, (std::vector<int32_t>{0, -1}));
}

TEST_F(Folder, LabelsAgreeBetweenSplits) {
  image("train/cat/1.png", 1);
  image("train/dog/1.png", 2);
  image("test/dog/1.png", 3);
  image("test/emu/1.png", 4);
  const Dataset test = load("test");
  EXPECT_EQ(test.classes, (std::vector<std::string>{"cat", "dog", "emu"}));
  EXPECT_EQ(test.labels, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(load("train").classes, test.classes);
  EXPECT_EQ(load("train").names, (std::vector<std::string>{"cat/1.png", "dog/1.png"}));
}

TEST_F(Folder, AMissingSplitIsNotTheWholeFolder) {
  image("train/cat/1.png", 1);
  EXPECT_THROW(load("val"), Error);
  EXPECT_THROW(load("test"), Error);
}

TEST_F(Folder, AnySubfolderMayBeASplit) {
  image("first/cat/1.png", 1);
  EXPECT_EQ(load("first").classes, std::vector<std::string>{"cat"});
  EXPECT_EQ(load("first/cat").size(), 1);
  for (const char* whole : {"train", "test", ".", ""})
    EXPECT_EQ(load(whole).classes, std::vector<std::string>{"first"}) << whole;
  for (const char* missing : {"fist", "first/dog", "first/cat/1.png", "..", "/", "first/.."})
    EXPECT_THROW(load(missing), Error) << missing;
}

TEST_F(Folder, NamesWithSpacesUtf8AndNewlines) {
  image("class with spaces/a b.png", 1);
  image("κλάση/ü\n1.png", 2);
  image(std::string(200, 'x') + "/" + std::string(250, 'y') + ".png", 3);
  const Dataset data = load();
  ASSERT_EQ(data.size(), 3);
  EXPECT_EQ(data.names[0], "class with spaces/a b.png");
  EXPECT_EQ(data.names[2], "κλάση/ü\n1.png");
  EXPECT_EQ(*data.image(2), 2);
}

TEST_F(Folder, HiddenEntriesAndOtherFilesAreNotImages) {
  image("cat/1.png", 1);
  image(".ipynb_checkpoints/1.png", 2);
  image("cat/.2.png", 3);
  image("cat/.cache/3.png", 4);
  test::write_text(folder_ / "cat/README.txt", "text");
  test::write_text(folder_ / "cat/Thumbs.db", "binary");
  const Dataset data = load();
  EXPECT_EQ(data.names, std::vector<std::string>{"cat/1.png"});
  EXPECT_EQ(data.classes, std::vector<std::string>{"cat"});
  EXPECT_TRUE(data.skipped.empty());
}

TEST_F(Folder, PhotosThatCannotBeReadAreCounted) {
  image("cat/1.png", 1);
  for (const char* name : {"cat/2.HEIC", "cat/3.avif", "cat/4.webp"}) test::write_text(folder_ / name, "....ftyp");
  EXPECT_THROW(load(), Error);
  DatasetSpec spec{.name = "folder", .dir = folder_.path(), .max_unreadable = 80};
  EXPECT_EQ(load_dataset(spec).skipped.size(), 3u);
}

TEST_F(Folder, GrayThatTurnsWhiteIsTold) {
  std::string said;
  set_log_sink([&](LogLevel, std::string_view message) { said += message; });
  image("cat/1.png", 1);
  load();
  EXPECT_EQ(said, "");
  const Bytes row = {0, 1, 0};
  folder_.write("cat/2.png", test::text_of(test::make_png({.depth = 16, .colour_type = 0}, row)));
  EXPECT_EQ(bytes_of(load(), 1), (Bytes{255, 255, 255}));
  EXPECT_NE(said.find("1 of 2 images"), std::string::npos) << said;
  EXPECT_NE(said.find("'cat/2.png'"), std::string::npos) << said;
  set_log_sink({});
}

TEST_F(Folder, LinksAreFollowedAndLoopsAreNot) {
  image("elsewhere/set/1.png", 7);
  fs::create_directories(folder_ / "data/cat");
  fs::create_directory_symlink(folder_ / "elsewhere/set", folder_ / "data/dog");
  fs::create_symlink(folder_ / "elsewhere/set/1.png", folder_ / "data/cat/linked.png");
  fs::create_directory_symlink(folder_ / "data/cat", folder_ / "data/cat/again");
  fs::create_directory_symlink("..", folder_ / "data/cat/root");
  fs::create_directory_symlink("../..", folder_ / "data/cat/above");
  fs::create_directory_symlink("..", folder_ / "data/up");
  DatasetSpec spec;
  spec.name = "folder";
  spec.dir = folder_ / "data";
  const Dataset data = load_dataset(spec);
  EXPECT_EQ(data.names, (std::vector<std::string>{"cat/linked.png", "dog/1.png"}));
}

TEST_F(Folder, LinksThatMultiplyEndInAnError) {
  image("data/cat/1.png", 7);
  constexpr int kLevels = 40;  // of two links each: 2^40 ways to the last
  for (int level = 0; level < kLevels; ++level) {
    const fs::path at = folder_ / ("chain/" + std::to_string(level));
    fs::create_directories(at);
    for (const char* link : {"a", "b"})
      fs::create_directory_symlink(folder_ / ("chain/" + std::to_string(level + 1)), at / link);
  }
  fs::create_directories(folder_ / ("chain/" + std::to_string(kLevels)));
  fs::create_directory_symlink(folder_ / "chain/0", folder_ / "data/cat/links");
  DatasetSpec spec;
  spec.name = "folder";
  spec.dir = folder_ / "data";
  try {
    load_dataset(spec);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
    EXPECT_NE(std::string(error.what()).find("more than 65536 folders below"), std::string::npos) << error.what();
  }
}

TEST_F(Folder, LimitsApplyBeforeReading) {
  for (const char* name : {"a/1.png", "a/2.png", "a/3.png", "b/1.png", "b/2.png"}) image(name, 1);
  DatasetSpec spec;
  spec.name = "folder";
  spec.dir = folder_.path();
  spec.max_per_class = 2;
  EXPECT_EQ(load_dataset(spec).names, (std::vector<std::string>{"a/1.png", "a/2.png", "b/1.png", "b/2.png"}));
  spec.max_images = 3;
  EXPECT_EQ(load_dataset(spec).names, (std::vector<std::string>{"a/1.png", "a/2.png", "b/1.png"}));
}

/// The pixels that were reserved for the damaged image hold whatever the memory held before.
TEST_F(Folder, ASkippedImageLeavesTheHashOfTheOthersAlone) {
  for (int i = 0; i < 150; ++i) image("c/" + std::to_string(1000 + i) + ".png", static_cast<uint8_t>(i), 16, 16);
  const std::string cut = test::read_text(folder_ / "c/1070.png");
  test::write_text(folder_ / "c/1070.png", cut.substr(0, cut.size() - 20));
  const auto hash = [&]([[maybe_unused]] int garbage) {
#ifdef __GLIBC__
    ::mallopt(M_PERTURB, garbage);  // fills new and freed memory
#endif
    const Dataset data = load();
    EXPECT_EQ(data.size(), 149);
    return trajectory_of({}, data, F32Math::exact).at("images_hash");
  };
  const std::string first = hash(0x55);
  EXPECT_EQ(hash(0xAA), first);
  hash(0);
}

TEST_F(Folder, ManyBlocksAndThreadsGiveTheSamePool) {
  for (int i = 0; i < 2100; ++i) {
    image("c/" + std::to_string(10000 + i) + ".png", static_cast<uint8_t>(i), 1 + static_cast<uint32_t>(i % 3));
  }
  const int before = thread_count();
  set_thread_count(1);
  const Dataset one = load();
  set_thread_count(4);
  const Dataset four = load();
  set_thread_count(before);
  ASSERT_EQ(one.size(), 2100);
  EXPECT_EQ(one.images, four.images);
  ASSERT_EQ(one.pixels.size(), four.pixels.size());
  EXPECT_TRUE(std::equal(one.pixels.data(), one.pixels.data() + one.pixels.size(), four.pixels.data()));
  for (int i = 0; i < 2100; ++i) ASSERT_EQ(*one.image(i), static_cast<uint8_t>(i));
}

}  // namespace
}  // namespace dcl
