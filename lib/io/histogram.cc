#include "io/histogram.h"

#include <algorithm>

#include "core/extent.h"
#include "core/parallel.h"

namespace dcl {
namespace {

constexpr double kSmallestEdge = 1e-12, kLargestEdge = 1e20, kRatio = 1.1;
constexpr int64_t kPiece = 1 << 18;

size_t bucket_of(double value) {
  const std::vector<double>& edges = Histogram::edges();
  const auto right = std::upper_bound(edges.begin() + 1, edges.end() - 1, value);
  return static_cast<size_t>(right - edges.begin()) - 1;
}

struct Piece {
  std::vector<int64_t> counts;
  int64_t count = 0;
  double min = 0, max = 0, sum = 0, sum_of_squares = 0;
};

Piece count_piece(std::span<const float> values) {
  Piece piece;
  piece.counts.resize(Histogram::edges().size() - 1);
  piece.count = static_cast<int64_t>(values.size());
  piece.min = piece.max = values.front();
  for (const float value : values) {
    ++piece.counts[bucket_of(value)];
    piece.min = std::min<double>(piece.min, value);
    piece.max = std::max<double>(piece.max, value);
    piece.sum += value;
    piece.sum_of_squares += double{value} * value;
  }
  return piece;
}

}  // namespace

const std::vector<double>& Histogram::edges() {
  static const std::vector<double> edges = [] {
    std::vector<double> all = {0};
    for (double edge = kSmallestEdge; edge < kLargestEdge; edge *= kRatio) all.push_back(edge);
    for (size_t i = 1, positive = all.size(); i < positive; ++i) all.push_back(-all[i]);
    std::sort(all.begin(), all.end());
    return all;
  }();
  return edges;
}

void Histogram::add(std::span<const float> values) {
  const auto total = static_cast<int64_t>(values.size());
  std::vector<Piece> pieces(static_cast<size_t>(ceil_div(total, kPiece)));
  parallel_chunks(total, kPiece, [&](int64_t begin, int64_t end) {
    pieces[static_cast<size_t>(begin / kPiece)] =
        count_piece(values.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
  });
  for (const Piece& piece : pieces) {
    for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += piece.counts[i];
    min_ = count_ == 0 ? piece.min : std::min(min_, piece.min);
    max_ = count_ == 0 ? piece.max : std::max(max_, piece.max);
    sum_ += piece.sum;
    sum_of_squares_ += piece.sum_of_squares;
    count_ += piece.count;
  }
}

ProtoMessage Histogram::message() const {
  std::vector<double> limits, counts;
  const auto filled = [](int64_t count) { return count != 0; };
  const auto first = std::find_if(counts_.begin(), counts_.end(), filled);
  const auto last = std::find_if(counts_.rbegin(), counts_.rend(), filled).base();
  if (first != counts_.end()) {
    limits.push_back(edges()[static_cast<size_t>(first - counts_.begin())]);
    counts.push_back(0);
  }
  for (auto at = first; at < last; ++at) {
    limits.push_back(edges()[static_cast<size_t>(at - counts_.begin()) + 1]);
    counts.push_back(static_cast<double>(*at));
  }
  ProtoMessage out;
  out.number(1, min_).number(2, max_).number(3, static_cast<double>(count_)).number(4, sum_).number(5, sum_of_squares_);
  return out.packed(6, limits).packed(7, counts);
}

}  // namespace dcl
