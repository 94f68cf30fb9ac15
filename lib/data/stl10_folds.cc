#include "data/stl10_folds.h"

#include <charconv>
#include <unordered_set>
#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "data/readers.h"

namespace dcl {
namespace {

constexpr int64_t kPublishedImages = 1000;  // of a fold
constexpr int64_t kMostBytes = 1 << 20;     // 20 times the published file
constexpr std::string_view kBlanks = " \t\r";
constexpr size_t kMostShown = 24;  // of a word that is no number

/// Takes what stands before the first of `ends` off the text, and that with it.
std::string_view take(std::string_view& text, std::string_view ends) {
  const size_t end = text.find_first_of(ends);
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return taken;
}

class FoldLine {
 public:
  /// number: of the line, from 1, for messages. images: indices are below it.
  FoldLine(const std::string& path, size_t number, int64_t images) : path_(path), number_(number), images_(images) {}

  Fold parse(std::string_view line) {
    while (!line.empty())
      if (const std::string_view word = take(line, kBlanks); !word.empty()) add(word);
    return std::move(fold_);
  }

  [[noreturn]] void refuse(const std::string& what) const {
    fail(ErrorKind::data, "stl10: " + quoted(path_) + ", line " + std::to_string(number_) + ": " + what);
  }

 private:
  void add(std::string_view word) {
    int32_t index = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), index);
    const std::string shown = quoted(std::string(word.substr(0, kMostShown))) + (word.size() > kMostShown ? "..." : "");
    if (end != word.data() + word.size() || error == std::errc::invalid_argument)
      refuse(shown + " is not a whole number; " + expected());
    if (error != std::errc() || index < 0 || index >= images_) refuse(shown + " is out of range; " + expected());
    if (!seen_.insert(index).second) refuse(shown + " is there twice; " + expected() + ", each once at most");
    fold_.push_back(index);
  }

  std::string expected() const { return "expected indices of images, 0.." + std::to_string(images_ - 1); }

  const std::string& path_;
  size_t number_;
  int64_t images_;
  std::unordered_set<int32_t> seen_;
  Fold fold_;
};

}  // namespace

std::vector<Fold> parse_stl10_folds(const std::string& path, std::string_view text, int64_t images) {
  text = text.substr(0, text.find_last_not_of("\n \t\r") + 1);
  std::vector<Fold> folds;
  while (!text.empty()) {
    FoldLine line(path, folds.size() + 1, images);
    if (std::ssize(folds) == kStl10Folds)
      line.refuse("expected the end of the file after " + std::to_string(kStl10Folds) + " lines, one for each fold");
    folds.push_back(line.parse(take(text, "\n")));
    const size_t count = folds.back().size(), first = folds.front().size();
    if (count == 0) line.refuse("there are no indices, expected those of a fold's images");
    if (count != first)
      line.refuse("there are " + std::to_string(count) + " indices, expected " + std::to_string(first) +
                  " as in line 1: the file is damaged");
  }
  if (std::ssize(folds) != kStl10Folds)
    fail(ErrorKind::data, "stl10: " + quoted(path) + " ends after line " + std::to_string(folds.size()) +
                              ", expected " + std::to_string(kStl10Folds) +
                              " lines, one for each fold: the file is damaged");
  return folds;
}

std::vector<Fold> load_stl10_folds(const DatasetSpec& spec) {
  if (spec.name != "stl10")
    fail(ErrorKind::usage, "folds are predefined for stl10 alone; data set '" + spec.name + "' has none");
  if (spec.split != "train") fail(ErrorKind::usage, "folds are of stl10's split train, not of '" + spec.split + "'");
  if (spec.max_per_class > 0 || spec.max_images > 0 || spec.holdout > 0)
    fail(ErrorKind::usage,
         "folds say which images are trained on: max_per_class, max_images and holdout cannot limit them");
  const auto path = [&](const char* name) { return data_path(spec.dir, "stl10_binary", name); };
  const std::string labels = path("train_y.bin"), file = path("fold_indices.txt");
  for (const std::string& needed : {labels, file}) require_data_file("stl10", needed);
  const int64_t images = InputFile(labels).size();  // a byte for each; load_dataset finds as many images or refuses
  if (images == 0) fail(ErrorKind::data, "stl10: " + quoted(labels) + " is empty, expected the labels of images");
  std::vector<Fold> folds = parse_stl10_folds(file, read_text(file, kMostBytes), images);
  if (const auto size = std::ssize(folds.front()); size != kPublishedImages)
    log(LogLevel::warning, "stl10: folds in " + quoted(file) + " have " + std::to_string(size) +
                               " images; the published ones have " + std::to_string(kPublishedImages));
  return folds;
}

}  // namespace dcl
