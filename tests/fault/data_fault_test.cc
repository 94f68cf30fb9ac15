// Damaged, missing and strange input data: every case ends in one line of the documented kind that names file, expected
// and actual size, or in a counted skip; none hangs.
#include <dirent.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <functional>

#include "core/error.h"
#include "data/dataset.h"
#include "support/image_fixtures.h"
#include "support/process.h"

namespace {
/// Entries of folders that can still be read; below 0: all.
int g_readable_entries = -1;
}  // namespace

/// Stands before the system's own for the library, too.
dirent* readdir(DIR* folder) {
  static const auto next = reinterpret_cast<dirent* (*)(DIR*)>(dlsym(RTLD_NEXT, "readdir64"));
  if (g_readable_entries == 0) {
    errno = EIO;
    return nullptr;
  }
  if (g_readable_entries > 0) --g_readable_entries;
  return next(folder);
}

namespace dcl {
namespace {

namespace fs = std::filesystem;
using test::Bytes;
using test::write_text;

class DataFault : public testing::Test {
 protected:
  DatasetSpec spec(const std::string& name, const std::string& split = "train") const {
    DatasetSpec out;
    out.name = name;
    out.dir = folder_.path();
    out.split = split;
    return out;
  }
  /// The message of Error{data}; every part must occur in it.
  static void expect_data_error(const DatasetSpec& spec, const std::vector<std::string>& parts) {
    try {
      load_dataset(spec);
      ADD_FAILURE() << "loaded";
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_EQ(error.exit_code(), 3) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      for (const std::string& part : parts) EXPECT_NE(message.find(part), std::string::npos) << message;
    }
  }
  void good_images(int count) {
    fs::create_directories(folder_ / "c");
    const std::string png = test::text_of(test::make_png(2, 2, Bytes(12, 7)));
    for (int i = 0; i < count; ++i) write_text(folder_ / ("c/good" + std::to_string(i) + ".png"), png);
  }
  test::TemporaryFolder folder_;
};

TEST_F(DataFault, AFolderThatCannotBeReadToItsEndIsNoSmallerFolder) {
  good_images(5);
  ASSERT_EQ(load_dataset(spec("folder")).size(), 5);
  g_readable_entries = 5;  // the folder of the class is opened and not read to its end
  expect_data_error(spec("folder"), {"cannot read the folder", "Input/output error"});
  g_readable_entries = -1;
}

TEST_F(DataFault, Stl10) {
  const std::string two(2 * 27648, '\1');
  expect_data_error(spec("stl10"), {"train_X.bin", "tools/download"});
  write_text(folder_ / "train_X.bin", two.substr(1));
  expect_data_error(spec("stl10"), {"train_X.bin", "55295", "27648", "138240000"});
  write_text(folder_ / "train_X.bin", "");
  expect_data_error(spec("stl10"), {"train_X.bin", "0 bytes"});
  write_text(folder_ / "train_X.bin", two);
  expect_data_error(spec("stl10"), {"train_y.bin"});
  write_text(folder_ / "train_y.bin", "\1\2\3");
  expect_data_error(spec("stl10"), {"train_y.bin", "3 labels", "expected 2"});
  write_text(folder_ / "train_y.bin", std::string("\1\0", 2));
  expect_data_error(spec("stl10"), {"train_y.bin", "label 0 at byte 1", "1..10"});
  write_text(folder_ / "train_y.bin", "\x0B\1");
  expect_data_error(spec("stl10"), {"label 11 at byte 0"});
  write_text(folder_ / "train_y.bin", "\x0A\1");
  EXPECT_EQ(load_dataset(spec("stl10")).size(), 2);
  write_text(folder_ / "class_names.txt", "only\ntwo\n");
  expect_data_error(spec("stl10"), {"class_names.txt", "2 class names", "expected 10"});
}

TEST_F(DataFault, Cifar) {
  expect_data_error(spec("cifar10", "test"), {"test_batch.bin"});
  write_text(folder_ / "test_batch.bin", std::string(3072, '\0'));
  expect_data_error(spec("cifar10", "test"), {"test_batch.bin", "3072 bytes", "3073", "30730000"});
  write_text(folder_ / "test_batch.bin", std::string(3073, '\0') + '\x0A' + std::string(3072, '\0'));
  expect_data_error(spec("cifar10", "test"), {"label 10 in record 1", "0..9"});
  write_text(folder_ / "test.bin", std::string("\0\x64", 2) + std::string(3072, '\0'));
  expect_data_error(spec("cifar100", "test"), {"label 100 in record 0", "0..99"});
}

TEST_F(DataFault, WhatIsNotARegularFileIsNotRead) {
  ASSERT_EQ(::mkfifo((folder_ / "train_X.bin").c_str(), 0600), 0);
  expect_data_error(spec("stl10"), {"train_X.bin", "not a regular file"});
  fs::create_directory(folder_ / "test_batch.bin");
  expect_data_error(spec("cifar10", "test"), {"test_batch.bin", "is a folder, expected a file"});
  fs::create_symlink(folder_ / "loop.bin", folder_ / "test.bin");
  fs::create_symlink(folder_ / "test.bin", folder_ / "loop.bin");
  expect_data_error(spec("cifar100", "test"), {"test.bin"});
}

TEST_F(DataFault, EmptyAndMissingFolders) {
  expect_data_error(spec("folder"), {"no JPEG, PNG or PNM"});
  fs::create_directories(folder_ / "class");
  write_text(folder_ / "class/notes.txt", "text");
  expect_data_error(spec("folder"), {"no JPEG, PNG or PNM"});
  DatasetSpec absent = spec("folder");
  absent.dir += "/line\nbreak";
  expect_data_error(absent, {"line\\nbreak"});
}

TEST_F(DataFault, UnreadableImagesAreSkippedAndListed) {
  good_images(1200);
  const Bytes jpeg = test::small_jpeg();
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"bad0.jpg", ""},
      {"bad1.jpg", test::text_of(Bytes(jpeg.begin(), jpeg.begin() + 200))},
      {"bad2.png", test::text_of(test::make_png(test::PngFormat{.width = 60000, .height = 60000}, {0}))},
      {"bad3.jpg", "<html>404</html>"},
      {"bad4.webp", "RIFF....WEBP"},
      {"bad5.jpg", test::text_of(test::small_jpeg_claiming(65000, 65000))},
      {"bad6.png", test::text_of(test::make_png(test::PngFormat{.width = 9, .height = 9}, {0, 1, 2}))},
  };
  for (const auto& [name, content] : bad) write_text(folder_ / ("c/" + name), content);
  ASSERT_EQ(::mkfifo((folder_ / "c/bad7.png").c_str(), 0600), 0);
  fs::create_symlink(folder_ / "nowhere", folder_ / "c/bad8.png");
  const Dataset data = load_dataset(spec("folder"));
  EXPECT_EQ(data.size(), 1200);
  EXPECT_EQ(data.labels.size(), 1200u);
  EXPECT_EQ(data.names.size(), 1200u);
  ASSERT_EQ(data.skipped.size(), 9u);
  for (size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(data.skipped[i].file.substr(0, 6), "c/bad" + std::to_string(i));
    EXPECT_NE(data.skipped[i].reason, "");
  }
  for (int64_t i = 0; i < data.size(); ++i) ASSERT_EQ(data.image(i)[11], 7);
  DatasetSpec strict = spec("folder");
  strict.strict_images = true;
  expect_data_error(strict, {"c/bad0.jpg", "the file is empty"});
}

TEST_F(DataFault, MoreThanOnePercentIsAnError) {
  good_images(99);
  write_text(folder_ / "c/bad.jpg", "");
  EXPECT_EQ(load_dataset(spec("folder")).skipped.size(), 1u);
  fs::remove(folder_ / "c/good0.png");
  expect_data_error(spec("folder"), {"1 of 99", "more than 1 %", "c/bad.jpg", "the file is empty", "--max_unreadable"});
  DatasetSpec more = spec("folder");
  more.max_unreadable = 1.1;
  EXPECT_EQ(load_dataset(more).skipped.size(), 1u);
  more.max_unreadable = 0;
  fs::remove(folder_ / "c/bad.jpg");
  EXPECT_EQ(load_dataset(more).size(), 98);
}

TEST_F(DataFault, UnreadableByPermission) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  good_images(200);
  ASSERT_EQ(::chmod((folder_ / "c/good7.png").c_str(), 0), 0);
  const Dataset data = load_dataset(spec("folder"));
  ASSERT_EQ(data.skipped.size(), 1u);
  EXPECT_EQ(data.skipped[0].file, "c/good7.png");
}

}  // namespace
}  // namespace dcl
