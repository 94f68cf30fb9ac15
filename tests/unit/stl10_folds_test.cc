// STL-10's predefined folds: what is read, and that nothing else is.
#include "data/stl10_folds.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "core/error.h"
#include "support/process.h"

namespace dcl {
namespace {

using test::TemporaryFolder;
using test::write_text;

constexpr int64_t kImages = 40;

/// Ten folds of three images: fold k has k, k + 10 and 39 - k, overlapping as the published ones do.
std::vector<std::string> good_lines() {
  std::vector<std::string> lines;
  for (int k = 0; k < 10; ++k)
    lines.push_back(std::to_string(k + 10) + " " + std::to_string(k) + " " + std::to_string(39 - k));
  return lines;
}

std::string joined(const std::vector<std::string>& lines, const std::string& end = "\n") {
  std::string text;
  for (const std::string& line : lines) text += line + end;
  return text;
}

/// Runs it and gives the message of the error, which has to be of `kind` and one line.
std::string refused(ErrorKind kind, const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_EQ(std::string(error.what()).find_first_of("\n\r\x1b"), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "not refused";
  return "";
}

TEST(Stl10Folds, AreIndicesInTheOrderOfTheFile) {
  const std::vector<Fold> folds = parse_stl10_folds("f", joined(good_lines()), kImages);
  ASSERT_EQ(folds.size(), 10u);
  for (int k = 0; k < 10; ++k) EXPECT_EQ(folds[static_cast<size_t>(k)], (Fold{k + 10, k, 39 - k}));
}

TEST(Stl10Folds, BlanksAndLineEndsMayDiffer) {
  const std::vector<Fold> folds = parse_stl10_folds("f", joined(good_lines()), kImages);
  const std::string text = joined(good_lines());
  EXPECT_EQ(parse_stl10_folds("f", text.substr(0, text.size() - 1), kImages), folds) << "no end of the last line";
  EXPECT_EQ(parse_stl10_folds("f", joined(good_lines(), " \r\n"), kImages), folds);
  EXPECT_EQ(parse_stl10_folds("f", text + "\n \n", kImages), folds);
  std::vector<std::string> tabs = good_lines();
  tabs[3] = "  13\t 3  \t36\t";
  EXPECT_EQ(parse_stl10_folds("f", joined(tabs), kImages), folds);
}

TEST(Stl10Folds, DamagedLinesAreNamed) {
  struct Fault {
    size_t line;
    std::string text, words;
  };
  const std::vector<Fault> faults = {
      {0, "40 0 39", "line 1: '40' is out of range; expected indices of images, 0..39"},
      {9, "19 9 -1", "line 10: '-1' is out of range; expected indices of images, 0..39"},
      {4, "14 4294967300 35", "line 5: '4294967300' is out of range"},
      {4, "14 99999999999999999999999999 35", "line 5: '999999999999999999999999'... is out of range"},
      {2, "12 2 12", "line 3: '12' is there twice"},
      {2, "12 2 x", "line 3: 'x' is not a whole number"},
      {2, "12 2 3.0", "line 3: '3.0' is not a whole number"},
      {2, "12 2 1e1", "line 3: '1e1' is not a whole number"},
      {2, "12 2 +3", "line 3: '+3' is not a whole number"},
      {2, "12,2,37", "line 3: '12,2,37' is not a whole number"},
      {2, "12 2 0x5", "line 3: '0x5' is not a whole number"},
      {2, "12 2 \x1b[31m", "line 3: '\\x1b[31m' is not a whole number"},
      {2, std::string("12 2 3\0", 7), "line 3: '3\\x00' is not a whole number"},
      {2, "12 2 " + std::string(100000, '7') + "y", "line 3: '777777777777777777777777'... is not a whole number"},
      {6, "16 6", "line 7: there are 2 indices, expected 3 as in line 1"},
      {6, "16 6 33 1", "line 7: there are 4 indices, expected 3 as in line 1"},
      {6, "", "line 7: there are no indices"},
      {0, "", "line 1: there are no indices"},
  };
  for (const Fault& fault : faults) {
    std::vector<std::string> lines = good_lines();
    lines[fault.line] = fault.text;
    const std::string message =
        refused(ErrorKind::data, [&] { parse_stl10_folds("dir/fold_indices.txt", joined(lines), kImages); });
    EXPECT_NE(message.find("'dir/fold_indices.txt', " + fault.words), std::string::npos) << message;
    EXPECT_LT(message.size(), 200u);
  }
}

TEST(Stl10Folds, ThereAreTen) {
  std::vector<std::string> lines = good_lines();
  lines.push_back("0 1 2");
  std::string message = refused(ErrorKind::data, [&] { parse_stl10_folds("f", joined(lines), kImages); });
  EXPECT_NE(message.find("'f', line 11: expected the end of the file after 10 lines"), std::string::npos) << message;
  lines.resize(9);
  message = refused(ErrorKind::data, [&] { parse_stl10_folds("f", joined(lines), kImages); });
  EXPECT_NE(message.find("'f' ends after line 9, expected 10 lines"), std::string::npos) << message;
  for (const char* empty : {"", "\n\n", " \r\n"}) {
    message = refused(ErrorKind::data, [&] { parse_stl10_folds("f", empty, kImages); });
    EXPECT_NE(message.find("'f' ends after line 0, expected 10 lines"), std::string::npos) << message;
  }
}

class Stl10FoldFiles : public testing::Test {
 protected:
  void SetUp() override {
    write_text(folder_ / "train_y.bin", std::string(kImages, '\x01'));
    write_text(folder_ / "fold_indices.txt", joined(good_lines()));
  }
  DatasetSpec spec() const { return {.name = "stl10", .dir = folder_.path(), .split = "train"}; }
  TemporaryFolder folder_;
};

TEST_F(Stl10FoldFiles, LieBesideTheImagesOrInTheFolderOfTheArchive) {
  const std::vector<Fold> folds = load_stl10_folds(spec());
  EXPECT_EQ(folds, parse_stl10_folds("f", joined(good_lines()), kImages));
  std::filesystem::create_directory(folder_ / "stl10_binary");
  for (const char* name : {"train_y.bin", "fold_indices.txt"})
    std::filesystem::rename(folder_ / name, folder_ / ("stl10_binary/" + std::string(name)));
  EXPECT_EQ(load_stl10_folds(spec()), folds);
}

TEST_F(Stl10FoldFiles, IndexTheLabelsThatThereAre) {
  write_text(folder_ / "train_y.bin", std::string(39, '\x01'));
  const std::string message = refused(ErrorKind::data, [&] { load_stl10_folds(spec()); });
  EXPECT_NE(message.find("fold_indices.txt', line 1: '39' is out of range; expected indices of images, 0..38"),
            std::string::npos)
      << message;
  write_text(folder_ / "train_y.bin", "");
  EXPECT_NE(refused(ErrorKind::data, [&] { load_stl10_folds(spec()); }).find("train_y.bin' is empty"),
            std::string::npos);
}

TEST_F(Stl10FoldFiles, ThatAreMissingOrTooLargeAreToldWithTheirPath) {
  write_text(folder_ / "fold_indices.txt", std::string((1 << 20) + 1, ' '));
  EXPECT_NE(refused(ErrorKind::data, [&] { load_stl10_folds(spec()); }).find("fold_indices.txt' has 1048577 bytes"),
            std::string::npos);
  std::filesystem::remove(folder_ / "fold_indices.txt");
  const std::string message = refused(ErrorKind::data, [&] { load_stl10_folds(spec()); });
  EXPECT_NE(message.find("there is no file '" + (folder_ / "fold_indices.txt") + "'"), std::string::npos) << message;
  std::filesystem::create_directory(folder_ / "fold_indices.txt");
  EXPECT_NE(refused(ErrorKind::data, [&] { load_stl10_folds(spec()); }).find("is a folder"), std::string::npos);
}

TEST_F(Stl10FoldFiles, OtherDataSetsSplitsAndLimitsAreUsageErrors) {
  const auto words_of = [&](const auto& change) {
    DatasetSpec changed = spec();
    change(changed);
    return refused(ErrorKind::usage, [&] { load_stl10_folds(changed); });
  };
  EXPECT_NE(words_of([](DatasetSpec& s) { s.name = "cifar10"; }).find("'cifar10' has none"), std::string::npos);
  EXPECT_NE(words_of([](DatasetSpec& s) { s.split = "train+unlabeled"; }).find("not of 'train+unlabeled'"),
            std::string::npos);
  EXPECT_NE(words_of([](DatasetSpec& s) { s.max_per_class = 3; }).find("max_per_class"), std::string::npos);
  EXPECT_NE(words_of([](DatasetSpec& s) { s.max_images = 3; }).find("max_images"), std::string::npos);
}

}  // namespace
}  // namespace dcl
