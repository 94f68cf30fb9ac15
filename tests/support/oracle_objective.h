// The contrastive objectives as their authors' code states them, by loops over the full similarity matrix in double,
// with gradients by going backwards through the same statements. Shares nothing with the library.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace dcl::test {

struct OracleObjective {
  std::string kind = "debiased";  ///< biased, debiased, hard, decoupled, unbiased, supcon
  bool sum_scale = false;         ///< unbiased: drop the masked negatives without rescaling
  int64_t batch = 2, views = 2, dim = 1;
  double temperature = 0.5, tau_plus = 0.1, beta = 1;
  std::vector<int32_t> labels;  ///< unbiased, supcon: of the images
};

struct OracleOutcome {
  double loss = 0, clamp_fraction = 0, mean_positive = 0, mean_negative = 0;
  std::vector<double> gradient;   ///< of z
  std::vector<double> magnitude;  ///< sum of |terms| of each entry of the gradient
};

class ObjectiveOracle {
 public:
  ObjectiveOracle(const OracleObjective& o, const std::vector<double>& z) : o_(o), z_(z) {
    out_.gradient.resize(z.size()), out_.magnitude.resize(z.size());
  }

  OracleOutcome run() {
    const int64_t anchors = 2 * o_.batch;
    for (int64_t i = 0; i < anchors; ++i) o_.kind == "supcon" ? supervised_anchor(i) : anchor(i);
    out_.loss /= static_cast<double>(anchors);
    out_.clamp_fraction /= static_cast<double>(anchors);
    out_.mean_positive /= static_cast<double>(anchors);
    if (negatives_seen_ > 0) out_.mean_negative /= static_cast<double>(negatives_seen_);
    return out_;
  }

 private:
  double similarity(int64_t i, int64_t j) const {
    double sum = 0;
    for (int64_t k = 0; k < o_.dim; ++k) sum += at(i, k) * at(j, k);
    return sum;
  }
  double at(int64_t i, int64_t k) const { return z_[static_cast<size_t>(i * o_.dim + k)]; }

  /// dLoss/ds(i, j) reaches both rows.
  void flow(int64_t i, int64_t j, double ds) {
    for (int64_t k = 0; k < o_.dim; ++k) {
      add(i, k, ds * at(j, k));
      add(j, k, ds * at(i, k));
    }
  }
  void add(int64_t i, int64_t k, double term) {
    out_.gradient[static_cast<size_t>(i * o_.dim + k)] += term;
    out_.magnitude[static_cast<size_t>(i * o_.dim + k)] += std::abs(term);
  }

  bool same_class(int64_t i, int64_t j) const {
    if (o_.kind != "unbiased" && o_.kind != "supcon") return false;
    const int32_t label = o_.labels[static_cast<size_t>(i % o_.batch)];
    return label != -1 && label == o_.labels[static_cast<size_t>(j % o_.batch)];
  }

  void anchor(int64_t i) {
    const int64_t anchors = 2 * o_.batch, image = i % o_.batch, pair = (i + o_.batch) % anchors;
    const double t = o_.temperature, count = static_cast<double>(anchors - 2);
    std::vector<int64_t> negatives;
    for (int64_t j = 0; j < anchors; ++j)
      if (j != i && j != pair && !same_class(i, j)) negatives.push_back(j);
    std::vector<int64_t> positives = {pair};
    for (int64_t view = 2; view < o_.views; ++view) positives.push_back(view * o_.batch + image);

    std::vector<double> neg, pos;
    for (const int64_t j : negatives)
      neg.push_back(std::exp(similarity(i, j) / t)), out_.mean_negative += similarity(i, j);
    for (const int64_t j : positives) pos.push_back(std::exp(similarity(i, j) / t));
    negatives_seen_ += static_cast<int64_t>(negatives.size());
    out_.mean_positive += similarity(i, pair);

    // The sum over negatives and its derivative by every neg.
    double sum = 0;
    std::vector<double> dsum(neg.size(), 1.0);
    if (o_.kind == "hard" && !neg.empty()) {
      double weighted = 0, mean_importance = 0;
      for (const double e : neg) weighted += std::pow(e, o_.beta) * e, mean_importance += std::pow(e, o_.beta) / count;
      sum = weighted / mean_importance;
      for (size_t n = 0; n < neg.size(); ++n)
        dsum[n] = (1 + o_.beta) * std::pow(neg[n], o_.beta) / mean_importance -
                  sum / mean_importance * o_.beta * std::pow(neg[n], o_.beta - 1) / count;
    } else {
      const bool rescale = o_.kind == "unbiased" && !o_.sum_scale && !neg.empty();
      const double scale = rescale ? count / static_cast<double>(neg.size()) : 1;
      for (const double e : neg) sum += scale * e;
      for (double& d : dsum) d = scale;
    }

    double ng = sum, dng = 1, dpositive = 0;  // d Ng / d sum, d Ng / d each positive
    if (o_.kind == "debiased" || o_.kind == "hard") {
      double mean_positive = 0;
      for (const double p : pos) mean_positive += p / static_cast<double>(pos.size());
      const double raw = (-o_.tau_plus * count * mean_positive + sum) / (1 - o_.tau_plus);
      const double floor = count * std::exp(-1 / t);
      const bool pass = raw >= floor;
      out_.clamp_fraction += raw <= floor;
      ng = pass ? raw : floor;
      dng = pass ? 1 / (1 - o_.tau_plus) : 0;
      dpositive = pass ? -o_.tau_plus * count / (static_cast<double>(pos.size()) * (1 - o_.tau_plus)) : 0;
    }
    const bool decoupled = o_.kind == "decoupled" && !neg.empty();
    const double p = pos[0], total = decoupled ? ng : p + ng;
    out_.loss += decoupled ? std::log(ng / p) : std::log1p(ng / p);  // -log(p / total), also where it is tiny

    const double mean = 1 / static_cast<double>(anchors);
    for (size_t n = 0; n < neg.size(); ++n) flow(i, negatives[n], mean / total * dng * dsum[n] * neg[n] / t);
    for (size_t m = 0; m < pos.size(); ++m) {
      const double numerator = m == 0 ? -ng / (p * total) : 0;  // 1 / total - 1 / p
      flow(i, positives[m], mean * (numerator + dpositive / total) * pos[m] / t);
    }
  }

  /// Khosla et al. 2020, eq. 2.
  void supervised_anchor(int64_t i) {
    const int64_t anchors = 2 * o_.batch, pair = (i + o_.batch) % anchors;
    std::vector<int64_t> others, positives;
    double denominator = 0, positive_sum = 0;
    for (int64_t j = 0; j < anchors; ++j) {
      if (j == i) continue;
      others.push_back(j);
      denominator += std::exp(similarity(i, j) / o_.temperature);
      if (j == pair || same_class(i, j)) {
        positives.push_back(j);
        positive_sum += similarity(i, j);
      } else {
        out_.mean_negative += similarity(i, j);
        ++negatives_seen_;
      }
    }
    const double mean = 1 / static_cast<double>(anchors), count = static_cast<double>(positives.size());
    out_.mean_positive += positive_sum / count;
    for (const int64_t p : positives)
      out_.loss -= std::log(std::exp(similarity(i, p) / o_.temperature) / denominator) / count;
    for (const int64_t j : others)
      flow(i, j, mean / o_.temperature * std::exp(similarity(i, j) / o_.temperature) / denominator);
    for (const int64_t p : positives) flow(i, p, -mean / o_.temperature / count);
  }

  OracleObjective o_;
  std::vector<double> z_;
  OracleOutcome out_;
  int64_t negatives_seen_ = 0;
};

inline OracleOutcome oracle_objective(const OracleObjective& o, const std::vector<double>& z) {
  return ObjectiveOracle(o, z).run();
}

}  // namespace dcl::test
