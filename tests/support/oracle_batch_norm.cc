#include "support/oracle_batch_norm.h"

#include <cmath>

namespace dcl::test {
namespace {

Expected zeros(int64_t count) {
  return {std::vector<double>(static_cast<size_t>(count), 0.0), std::vector<double>(static_cast<size_t>(count), 0.0)};
}

void set(Expected& to, int64_t i, double value, double magnitude) {
  to.value[static_cast<size_t>(i)] = value;
  to.magnitude[static_cast<size_t>(i)] = magnitude;
}

int64_t rows_per_group(const BatchNormDesc& d) { return d.rows / d.groups; }

struct Moments {
  double mean, var;
};
Moments moments_of(const BatchNormDesc& d, const Values& x, int64_t group, int64_t c) {
  const int64_t count = rows_per_group(d);
  Moments m{0, 0};
  for (int64_t r = 0; r < count; ++r) m.mean += x[(group * count + r) * d.channels + c];
  m.mean /= static_cast<double>(count);
  for (int64_t r = 0; r < count; ++r) {
    const double centred = x[(group * count + r) * d.channels + c] - m.mean;
    m.var += centred * centred;
  }
  m.var /= static_cast<double>(count);
  return m;
}

/// What normalises element i: the constants of its group and channel.
struct Constants {
  double mean, inv_std, gamma, beta;
};
Constants constants_of(const BatchNormDesc& d, const Values& saved, const Values& gamma, const Values& beta,
                       int64_t group, int64_t c) {
  const int64_t at = group * d.channels + c;
  return {saved[at], saved[d.groups * d.channels + at], gamma[c], beta[c]};
}

}  // namespace

BatchNormStatistics oracle_batch_norm_statistics(const BatchNormDesc& d, const Values& x, const Values& running_mean,
                                                 const Values& running_var) {
  const double count = static_cast<double>(rows_per_group(d));
  BatchNormStatistics out{zeros(2 * d.groups * d.channels), zeros(d.channels), zeros(d.channels)};
  for (int64_t c = 0; c < d.channels; ++c) {
    double mean = running_mean[c], var = running_var[c];
    double mean_scale = std::abs(mean), var_scale = std::abs(var);
    for (int64_t group = 0; group < d.groups; ++group) {
      const Moments m = moments_of(d, x, group, c);
      const double spread = std::sqrt(m.var), inv_std = 1 / std::sqrt(m.var + d.eps);
      const int64_t at = group * d.channels + c;
      set(out.saved, at, m.mean, std::abs(m.mean) + 2 * spread);
      // Deviations from any row of the group have a mean square of about 2 var, 4 var for a row two sigma out.
      set(out.saved, d.groups * d.channels + at, inv_std, inv_std * (1 + 4 * m.var / (m.var + d.eps)));
      if (group % d.running_every != 0) continue;
      mean = (1 - d.momentum) * mean + d.momentum * m.mean;
      var = (1 - d.momentum) * var + d.momentum * m.var * count / (count - 1);
      mean_scale += std::abs(m.mean) + 2 * spread;
      var_scale += 8 * m.var;
    }
    set(out.running_mean, c, mean, mean_scale);
    set(out.running_var, c, var, var_scale);
  }
  return out;
}

Expected oracle_batch_norm_apply(const BatchNormDesc& d, const Values& x, const Values& saved, const Values& gamma,
                                 const Values& beta, const Values& residual) {
  Expected out = zeros(d.rows * d.channels);
  for (int64_t i = 0; i < d.rows * d.channels; ++i) {
    const int64_t c = i % d.channels, group = i / d.channels / rows_per_group(d);
    const Constants k = constants_of(d, saved, gamma, beta, group, c);
    const double scaled = k.gamma * ((x[i] - k.mean) * k.inv_std), added = d.residual ? residual[i] : 0.0;
    const double value = scaled + k.beta + added;
    set(out, i, d.relu ? std::max(value, 0.0) : value, std::abs(scaled) + std::abs(k.beta) + std::abs(added));
  }
  return out;
}

std::vector<double> signs_of(const std::vector<double>& y) {
  std::vector<double> signs(y.size() / 8);
  for (size_t i = 0; i < y.size(); ++i)
    if (y[i] > 0) signs[i / 8] += 1 << i % 8;
  return signs;
}

BatchNormGradients oracle_batch_norm_backward(const BatchNormDesc& d, const Values& dy, const Values& x,
                                              const Values& y, const Values& saved, const Values& gamma,
                                              const Values& beta) {
  const int64_t count = rows_per_group(d);
  const double n = static_cast<double>(count);
  BatchNormGradients out{zeros(d.rows * d.channels), zeros(d.channels), zeros(d.channels), dy.v};
  for (int64_t group = 0; group < d.groups; ++group)
    for (int64_t c = 0; c < d.channels; ++c) {
      const Constants k = constants_of(d, saved, gamma, beta, group, c);
      const auto at = [&](int64_t r) { return (group * count + r) * d.channels + c; };
      const auto normalised = [&](int64_t i) { return (x[i] - k.mean) * k.inv_std; };
      double sum = 0, product_sum = 0, size = 0, product_size = 0;
      for (int64_t r = 0; r < count; ++r) {
        const int64_t i = at(r);
        const bool positive = d.residual ? y[i] > 0 : k.gamma * normalised(i) + k.beta > 0;
        double& g = out.masked[static_cast<size_t>(i)];
        if (d.relu && !positive) g = 0;
        sum += g, size += std::abs(g);
        product_sum += g * normalised(i), product_size += std::abs(g * normalised(i));
      }
      const size_t channel = static_cast<size_t>(c);
      out.dbeta.value[channel] += sum, out.dbeta.magnitude[channel] += size;
      out.dgamma.value[channel] += product_sum, out.dgamma.magnitude[channel] += product_size;
      for (int64_t r = 0; r < count; ++r) {
        const int64_t i = at(r);
        const double g = out.masked[static_cast<size_t>(i)], h = normalised(i), factor = k.gamma * k.inv_std;
        set(out.dx, i, factor * (g - sum / n - h * product_sum / n),
            std::abs(factor) * (std::abs(g) + size / n + std::abs(h) * product_size / n));
      }
    }
  return out;
}

}  // namespace dcl::test
