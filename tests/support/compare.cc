#include "support/compare.h"

#include <cmath>
#include <sstream>

namespace dcl::test {
namespace {

constexpr double kConfidence = 8;

std::string sizes_differ(size_t got, size_t expected) {
  return "result has " + std::to_string(got) + " elements, expected " + std::to_string(expected);
}

std::string difference(size_t i, double got, double expected, double allowed) {
  std::ostringstream out;
  out.precision(17);
  out << "element " << i << " is " << got << ", expected " << expected << " within " << allowed;
  return out.str();
}

bool same_special(double got, double expected) {
  if (std::isnan(expected)) return std::isnan(got);
  return got == expected;
}

/// Running sum of squares.
struct Power {
  double sum = 0;
  void add(double x) { sum += x * x; }
  double rms(size_t count) const { return count ? std::sqrt(sum / static_cast<double>(count)) : 0; }
};

}  // namespace

std::string compare_exact(const std::vector<double>& got, const std::vector<double>& expected, DType storage) {
  if (got.size() != expected.size()) return sizes_differ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const double rounded = round_to(expected[i], storage);
    if (!same_special(got[i], rounded)) return difference(i, got[i], rounded, 0);
  }
  return "";
}

std::string compare(const std::vector<double>& got, const Expected& expected, const Precision& precision) {
  const size_t count = expected.value.size();
  if (got.size() != count || expected.magnitude.size() != count) return sizes_differ(got.size(), count);
  const double drift = std::sqrt(static_cast<double>(precision.roundings)) * unit_roundoff(precision.compute);
  const double last = unit_roundoff(precision.storage);
  Power error, value, magnitude;
  for (size_t i = 0; i < count; ++i) {
    const double want = expected.value[i];
    if (!std::isfinite(want) || !std::isfinite(got[i])) {
      if (!same_special(got[i], want)) return difference(i, got[i], want, 0);
      continue;
    }
    const double summed = kConfidence * drift * expected.magnitude[i];
    const double allowed = summed + last * (std::abs(want) + summed) + 0x1p-133;  // the smallest bf16
    if (!(std::abs(got[i] - want) <= allowed)) return difference(i, got[i], want, allowed);
    error.add(got[i] - want), value.add(want), magnitude.add(expected.magnitude[i]);
  }
  const double allowed = drift * magnitude.rms(count) + last * value.rms(count) + 0x1p-133;
  if (!(error.rms(count) <= allowed)) {
    std::ostringstream out;
    out << "root mean square error " << error.rms(count) << " over " << count << " elements, allowed " << allowed;
    return out.str();
  }
  return "";
}

std::string judge(const std::vector<double>& got, const Expected& expected, DType storage, int64_t roundings,
                  Fill fill) {
  if (fill == Fill::integers) return compare_exact(got, expected.value, storage);
  return compare(got, expected, {storage, roundings});
}

}  // namespace dcl::test
