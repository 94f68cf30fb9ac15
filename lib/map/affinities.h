// How alike points are, as t-SNE takes it (van der Maaten & Hinton, "Visualizing data using t-SNE", JMLR 2008).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dcl {

/// A sparse matrix [points, points]: row i has the entries begin[i] .. begin[i + 1], columns ascending.
struct Affinities {
  std::vector<int64_t> begin;
  std::vector<int32_t> column;
  std::vector<double> value;

  int64_t points() const { return static_cast<int64_t>(begin.size()) - 1; }
};

/// Neighbours that are looked at per point: three times the perplexity and one more, as van der Maaten (2014) and
/// scikit-learn take them.
int64_t neighbours_for(double perplexity);

/// p_j = e^(-beta d_j) / sum for the neighbours of one point at squared distances d, none of them NaN, with the beta at
/// which the entropy of p is log(perplexity), to 1e-5. Where no beta has it, as with more identical neighbours than
/// the perplexity, the nearest share p evenly.
void conditional_probabilities(std::span<const double> squared_distances, double perplexity, std::span<double> p);

/// (p_j|i + p_i|j) / sum of all, of points with `neighbours` entries each: rows of the points' neighbours, none of them
/// the point itself, and their squared distances.
Affinities joint_probabilities(std::span<const int32_t> neighbours, std::span<const double> squared_distances,
                               int64_t points, double perplexity);

}  // namespace dcl
