#include "map/tsne.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/parallel.h"

namespace dcl {
namespace {

constexpr int64_t kPiece = 512;
constexpr int64_t kSideBySide = 1000;  // with fewer points, waiting for other threads takes longer than the work
constexpr int64_t kCheckEvery = 50;    // iterations
constexpr double kStartDeviation = 1e-4, kLeastRate = 50, kLeastGain = 0.01;

struct Move {
  Point update, gain{1, 1};
};

/// One coordinate of a step of gradient descent with momentum and a gain of its own; returns the scaled derivative.
double move(double& place, double& update, double& gain, double derivative, double momentum, double rate) {
  gain = std::max(update * derivative < 0 ? gain + 0.2 : gain * 0.8, kLeastGain);
  update = momentum * update - rate * gain * derivative;
  place += update;
  return gain * derivative;
}

void scale_start(std::span<Point> y) {
  double sum = 0, squares = 0;
  for (const Point& at : y) sum += at.x;
  const double mean = sum / static_cast<double>(y.size());
  for (const Point& at : y) squares += (at.x - mean) * (at.x - mean);
  const double deviation = std::sqrt(squares / static_cast<double>(y.size()));
  const double scale = deviation > 0 ? kStartDeviation / deviation : 0;
  for (Point& at : y) at = {at.x * scale, at.y * scale};
}

/// pull[i] = sum over j of p_ij q_ij (y_i - y_j) for i in [begin, end).
void attract(const Affinities& p, std::span<const Point> y, int64_t begin, int64_t end, std::span<Point> pulls) {
  for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
    Point pull;
    for (auto e = static_cast<size_t>(p.begin[i]); e < static_cast<size_t>(p.begin[i + 1]); ++e) {
      const Point other = y[static_cast<size_t>(p.column[e])];
      const double dx = y[i].x - other.x, dy = y[i].y - other.y;
      const double weight = p.value[e] / (1 + dx * dx + dy * dy);
      pull.x += weight * dx, pull.y += weight * dy;
    }
    pulls[i] = pull;
  }
}

class Descent {
 public:
  Descent(const Affinities& p, std::vector<Point> start, const TsneSettings& settings)
      : p_(p),
        settings_(settings),
        y_(std::move(start)),
        gradient_(y_.size()),
        repulsion_(settings.theta),
        rate_(std::max(static_cast<double>(y_.size()) / settings.exaggeration / 4, kLeastRate)) {
    scale_start(y_);
  }

  /// From `iteration` to `end`, or where it stops; returns that.
  int64_t run(int64_t iteration, int64_t end, double exaggeration, double momentum,
              const std::function<void(int64_t, int64_t)>& progress) {
    std::vector<Move> moves(y_.size());
    double best = std::numeric_limits<double>::infinity();
    int64_t best_at = iteration;
    while (iteration < end) {
      const double q_sum = tsne_gradient(p_, y_, exaggeration, repulsion_, gradient_);
      const bool check = (iteration + 1) % kCheckEvery == 0;
      const double divergence = check ? tsne_divergence(p_, y_, q_sum) : 0;
      const double norm = step(moves, momentum);
      ++iteration;
      if (progress) progress(iteration, settings_.iterations);
      if (!check) continue;
      if (divergence < best)
        best = divergence, best_at = iteration;
      else if (iteration - best_at > settings_.without_progress)
        break;
      if (norm <= settings_.least_gradient) break;
    }
    return iteration;
  }

  TsneMap result(int64_t iterations) && {
    const double q_sum = tsne_gradient(p_, y_, 1, repulsion_, gradient_);
    const double divergence = tsne_divergence(p_, y_, q_sum);
    return {std::move(y_), divergence, iterations};
  }

 private:
  /// Returns the norm of the scaled gradient.
  double step(std::span<Move> moves, double momentum) {
    double squares = 0;
    for (size_t i = 0; i < y_.size(); ++i) {
      Move& m = moves[i];
      const double x = move(y_[i].x, m.update.x, m.gain.x, gradient_[i].x, momentum, rate_);
      const double y = move(y_[i].y, m.update.y, m.gain.y, gradient_[i].y, momentum, rate_);
      squares += x * x + y * y;
    }
    return std::sqrt(squares);
  }

  const Affinities& p_;
  const TsneSettings& settings_;
  std::vector<Point> y_, gradient_;
  BarnesHut repulsion_;
  double rate_;
};

}  // namespace

double tsne_gradient(const Affinities& p, std::span<const Point> y, double exaggeration, BarnesHut& repulsion,
                     std::span<Point> gradient) {
  repulsion.place(y);
  const int64_t parts = repulsion.parts(), points = p.points();
  std::vector<double> q_sums(static_cast<size_t>(parts));
  std::vector<Point> pulls(y.size());
  const auto work = [&](int64_t i) {
    if (i < parts)
      q_sums[static_cast<size_t>(i)] = repulsion.repel(i, gradient);
    else
      attract(p, y, (i - parts) * kPiece, std::min((i - parts + 1) * kPiece, points), pulls);
  };
  const int64_t pieces = parts + (points + kPiece - 1) / kPiece;
  if (points < kSideBySide)
    for (int64_t i = 0; i < pieces; ++i) work(i);
  else
    parallel_for(pieces, work);

  double q_sum = 0;
  for (const double of_part : q_sums) q_sum += of_part;
  for (size_t i = 0; i < y.size(); ++i)
    gradient[i] = {4 * (exaggeration * pulls[i].x - gradient[i].x / q_sum),
                   4 * (exaggeration * pulls[i].y - gradient[i].y / q_sum)};
  return q_sum;
}

double tsne_divergence(const Affinities& p, std::span<const Point> y, double q_sum) {
  std::vector<double> of_point(y.size());
  parallel_chunks(p.points(), kPiece, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      for (auto e = static_cast<size_t>(p.begin[i]); e < static_cast<size_t>(p.begin[i + 1]); ++e) {
        if (p.value[e] <= 0) continue;
        const Point other = y[static_cast<size_t>(p.column[e])];
        const double dx = y[i].x - other.x, dy = y[i].y - other.y;
        of_point[i] += p.value[e] * std::log(p.value[e] * (1 + dx * dx + dy * dy) * q_sum);
      }
  });
  double sum = 0;
  for (const double value : of_point) sum += value;
  return sum;
}

TsneMap tsne(const Affinities& p, std::vector<Point> start, const TsneSettings& settings,
             const std::function<void(int64_t, int64_t)>& progress) {
  Descent descent(p, std::move(start), settings);
  const int64_t exaggerated = std::min(settings.exaggerated, settings.iterations);
  int64_t done = descent.run(0, exaggerated, settings.exaggeration, 0.5, progress);
  done = descent.run(done, settings.iterations, 1, 0.8, progress);
  return std::move(descent).result(done);
}

}  // namespace dcl
