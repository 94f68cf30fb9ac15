#include "train/known_labels.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/number.h"
#include "math/philox.h"

namespace dcl {
namespace {

/// The label of the image, or another class.
int32_t noisy_label(int32_t label, int32_t classes, double noise, uint64_t seed, uint32_t image) {
  RandomStream stream(seed, RandomPurpose::label_noise, 0, image);
  if (stream.uniform() >= noise) return label;
  const auto other = static_cast<int32_t>(stream.below(static_cast<uint64_t>(classes - 1)));
  return other + (other >= label);
}

/// Images by class.
std::vector<std::vector<uint32_t>> images_of_classes(const Dataset& dataset) {
  std::vector<std::vector<uint32_t>> images(dataset.classes.size());
  for (size_t i = 0; i < dataset.labels.size(); ++i)
    if (dataset.labels[i] != kUnknownLabel)
      images[static_cast<size_t>(dataset.labels[i])].push_back(static_cast<uint32_t>(i));
  return images;
}

/// Forgets the labels of `images`, which are of one class, but for the share of them.
void keep_share(std::vector<int32_t>& labels, const std::vector<uint32_t>& images, double fraction, uint64_t seed) {
  std::vector<std::pair<uint64_t, uint32_t>> order;
  for (const uint32_t image : images)
    order.emplace_back(RandomStream(seed, RandomPurpose::label_fraction, 0, image).next_u64(), image);
  std::sort(order.begin(), order.end());
  const auto kept = static_cast<size_t>(std::llround(fraction * static_cast<double>(images.size())));
  for (size_t i = kept; i < order.size(); ++i) labels[order[i].second] = kUnknownLabel;
}

/// Of the values that are equal.
template <class Value>
double equal_pairs(std::vector<Value>& values) {
  std::sort(values.begin(), values.end());
  double pairs = 0;
  for (auto first = values.begin(); first != values.end();) {
    const auto last = std::upper_bound(first, values.end(), *first);
    const auto count = static_cast<double>(last - first);
    pairs += count * (count - 1) / 2;
    first = last;
  }
  return pairs;
}

void count(KnownLabels& known, const std::vector<int32_t>& labels) {
  std::vector<int32_t> had, has;
  std::vector<std::pair<int32_t, int32_t>> both;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] == kUnknownLabel) continue;
    had.push_back(labels[i]);
    if (known.labels[i] == kUnknownLabel) continue;
    has.push_back(known.labels[i]);
    both.emplace_back(labels[i], known.labels[i]);
    known.changed += labels[i] != known.labels[i];
  }
  known.labelled = std::ssize(had), known.known = std::ssize(has);
  const double of_class = equal_pairs(had), of_label = equal_pairs(has), right = equal_pairs(both);
  known.pairs_told = of_class > 0 ? right / of_class : 0;
  known.pairs_wrong = of_label > 0 ? 1 - right / of_label : 0;
}

}  // namespace

void check(const LabelSettings& s) {
  if (!(s.noise >= 0 && s.noise < 1))
    fail(ErrorKind::usage, "label_noise is " + number_text(s.noise) + ", expected a value in [0, 1)");
  if (!(s.fraction > 0 && s.fraction <= 1))
    fail(ErrorKind::usage, "label_fraction is " + number_text(s.fraction) + ", expected a value in (0, 1]");
}

KnownLabels known_labels(const Dataset& dataset, const LabelSettings& settings, uint64_t seed) {
  check(settings);
  const auto classes = static_cast<int32_t>(dataset.classes.size());
  if (settings.noise > 0 && classes < 2)
    fail(ErrorKind::usage, "label_noise " + number_text(settings.noise) +
                               " changes labels to those of other classes, and " + dataset.described() + ", has " +
                               std::to_string(classes) + " in all; leave it at 0");
  KnownLabels known{.labels = dataset.labels};
  for (size_t i = 0; settings.noise > 0 && i < known.labels.size(); ++i)
    if (known.labels[i] != kUnknownLabel)
      known.labels[i] = noisy_label(known.labels[i], classes, settings.noise, seed, static_cast<uint32_t>(i));
  size_t largest = 0;
  for (const std::vector<uint32_t>& images : images_of_classes(dataset)) {
    keep_share(known.labels, images, settings.fraction, seed);
    largest = std::max(largest, images.size());
  }
  count(known, dataset.labels);
  if (known.known == 0)
    fail(ErrorKind::usage, "label_fraction " + number_text(settings.fraction) + " leaves no label of " +
                               dataset.described() + ": its largest class has " + std::to_string(largest) +
                               " images; give a larger fraction");
  return known;
}

}  // namespace dcl
