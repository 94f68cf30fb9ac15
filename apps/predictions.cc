#include "predictions.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "io/utf8.h"

namespace dcl {
namespace {

/// kUnknownLabel: the classifier has no such class.
std::vector<int32_t> numbers_of(const Dataset& dataset, const Classifier& classifier) {
  std::vector<int32_t> numbers(dataset.classes.size(), kUnknownLabel);
  if (!classifier.named) {
    if (dataset.classes.size() == classifier.classes.size()) std::iota(numbers.begin(), numbers.end(), 0);
    return numbers;
  }
  std::map<std::string, int32_t> by_name;
  for (size_t i = 0; i < classifier.classes.size(); ++i)
    by_name.emplace(classifier.classes[i], static_cast<int32_t>(i));
  for (size_t i = 0; i < numbers.size(); ++i)
    if (const auto found = by_name.find(made_utf8(dataset.classes[i])); found != by_name.end())
      numbers[i] = found->second;
  return numbers;
}

/// The classes of the k highest logits, highest first; equal ones by number.
std::vector<size_t> highest(std::span<const float> logits, size_t k) {
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(k), order.end(),
                    [&](size_t a, size_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  order.resize(k);
  return order;
}

std::vector<std::string> header(size_t top) {
  std::vector<std::string> columns = {"row", "name", "class"};
  for (size_t i = 1; i <= top; ++i) {
    const std::string place = i == 1 ? "" : "_" + std::to_string(i);
    columns.push_back("predicted" + place);
    columns.push_back("probability" + place);
  }
  return columns;
}

}  // namespace

Predictions::Predictions(const std::filesystem::path& path, const Dataset& dataset, const Classifier& classifier,
                         int64_t top)
    : dataset_(dataset),
      classifier_(classifier),
      numbers_(numbers_of(dataset, classifier)),
      top_(static_cast<size_t>(std::min(top, classifier.linear.classes()))),
      table_(path, header(top_)) {}

void Predictions::add(std::span<const float> logits) {
  const auto at = static_cast<size_t>(images_);
  const int32_t label = dataset_.labels[at];
  const auto known_class = static_cast<size_t>(label);
  table_.field(images_).field(std::string_view(dataset_.names[at]));
  table_.field(made_utf8(dataset_.class_name(images_)));
  std::vector<float> probability(logits.begin(), logits.end());
  softmax(probability);
  for (const size_t c : highest(logits, top_))
    table_.field(std::string_view(classifier_.classes[c])).field(probability[c]);
  table_.end_row();
  ++images_;
  const int32_t number = label == kUnknownLabel ? kUnknownLabel : numbers_[known_class];
  if (number == kUnknownLabel) return;
  ++known_;
  for (size_t i = 0; i < hits_.size(); ++i) hits_[i] += in_top_k(logits, number, kTops[i]);
}

}  // namespace dcl
