#include "support/oracle_conv.h"

#include <cmath>

#include "core/parallel.h"

namespace dcl::test {
namespace {

/// Calls visit(input row, input column, tap) for every tap of output pixel (i, j) that lies inside the image.
template <class Visit>
void each_tap(const ConvDesc& d, int64_t i, int64_t j, Visit&& visit) {
  for (int64_t r = 0; r < d.r; ++r)
    for (int64_t s = 0; s < d.s; ++s) {
      const int64_t row = i * d.stride + r - d.pad, column = j * d.stride + s - d.pad;
      if (row >= 0 && row < d.h && column >= 0 && column < d.w) visit(row, column, r * d.s + s);
    }
}

std::vector<double> absolute(const std::vector<double>& from) {
  std::vector<double> to(from);
  for (double& value : to) value = std::abs(value);
  return to;
}

/// filter [k, taps, c] as [taps, c, k]: loops over k run innermost.
std::vector<double> by_tap(const ConvDesc& d, const std::vector<double>& filter) {
  std::vector<double> out(filter.size());
  const int64_t inner = d.r * d.s * d.c;
  for (int64_t k = 0; k < d.k; ++k)
    for (int64_t i = 0; i < inner; ++i)
      out[static_cast<size_t>(i * d.k + k)] = filter[static_cast<size_t>(k * inner + i)];
  return out;
}

std::vector<double> forward(const ConvDesc& d, const std::vector<double>& x, const std::vector<double>& filter) {
  const std::vector<double> w = by_tap(d, filter);
  std::vector<double> y(static_cast<size_t>(d.y_shape().elements()), 0.0);
  parallel_for(d.n * d.out_h(), [&](int64_t task) {
    const int64_t n = task / d.out_h(), i = task % d.out_h();
    for (int64_t j = 0; j < d.out_w(); ++j) {
      double* sum = y.data() + (task * d.out_w() + j) * d.k;
      each_tap(d, i, j, [&](int64_t row, int64_t column, int64_t tap) {
        const double* from = x.data() + ((n * d.h + row) * d.w + column) * d.c;
        for (int64_t c = 0; c < d.c; ++c)
          for (int64_t k = 0; k < d.k; ++k) sum[k] += from[c] * w[static_cast<size_t>((tap * d.c + c) * d.k + k)];
      });
    }
  });
  return y;
}

std::vector<double> backward_data(const ConvDesc& d, const std::vector<double>& dy, const std::vector<double>& filter) {
  std::vector<double> dx(static_cast<size_t>(d.x_shape().elements()), 0.0);
  const int64_t grain = (d.c + 7) / 8;
  parallel_chunks(d.c, grain, [&](int64_t begin, int64_t end) {
    for (int64_t n = 0; n < d.n; ++n)
      for (int64_t i = 0; i < d.out_h(); ++i)
        for (int64_t j = 0; j < d.out_w(); ++j) {
          const double* from = dy.data() + ((n * d.out_h() + i) * d.out_w() + j) * d.k;
          each_tap(d, i, j, [&](int64_t row, int64_t column, int64_t tap) {
            double* sum = dx.data() + ((n * d.h + row) * d.w + column) * d.c;
            for (int64_t k = 0; k < d.k; ++k) {
              const double* w = filter.data() + (k * d.r * d.s + tap) * d.c;
              for (int64_t c = begin; c < end; ++c) sum[c] += from[k] * w[c];
            }
          });
        }
  });
  return dx;
}

std::vector<double> backward_filter(const ConvDesc& d, const std::vector<double>& x, const std::vector<double>& dy) {
  std::vector<double> dw(static_cast<size_t>(d.filter_shape().elements()), 0.0);
  const int64_t grain = (d.k + 7) / 8;
  parallel_chunks(d.k, grain, [&](int64_t begin, int64_t end) {
    for (int64_t n = 0; n < d.n; ++n)
      for (int64_t i = 0; i < d.out_h(); ++i)
        for (int64_t j = 0; j < d.out_w(); ++j) {
          const double* g = dy.data() + ((n * d.out_h() + i) * d.out_w() + j) * d.k;
          each_tap(d, i, j, [&](int64_t row, int64_t column, int64_t tap) {
            const double* from = x.data() + ((n * d.h + row) * d.w + column) * d.c;
            for (int64_t k = begin; k < end; ++k) {
              double* sum = dw.data() + (k * d.r * d.s + tap) * d.c;
              for (int64_t c = 0; c < d.c; ++c) sum[c] += g[k] * from[c];
            }
          });
        }
  });
  return dw;
}

using Pass = std::vector<double> (*)(const ConvDesc&, const std::vector<double>&, const std::vector<double>&);

Expected run(Pass pass, const ConvDesc& d, const Values& a, const Values& b, bool magnitude) {
  Expected out{pass(d, a.v, b.v), {}};
  if (magnitude) out.magnitude = pass(d, absolute(a.v), absolute(b.v));
  return out;
}

}  // namespace

Expected oracle_conv_forward(const ConvDesc& d, const Values& x, const Values& filter, bool magnitude) {
  return run(&forward, d, x, filter, magnitude);
}
Expected oracle_conv_backward_data(const ConvDesc& d, const Values& dy, const Values& filter, bool magnitude) {
  return run(&backward_data, d, dy, filter, magnitude);
}
Expected oracle_conv_backward_filter(const ConvDesc& d, const Values& x, const Values& dy, bool magnitude) {
  return run(&backward_filter, d, x, dy, magnitude);
}

int64_t conv_terms(const ConvDesc& d, ConvPass pass) {
  switch (pass) {
    case ConvPass::forward:
      return d.r * d.s * d.c;
    case ConvPass::backward_data:
      return d.r * d.s * d.k;
    case ConvPass::backward_filter:
      return d.n * d.out_h() * d.out_w();
  }
  return 0;
}

}  // namespace dcl::test
