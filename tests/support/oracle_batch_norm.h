// Batch norm by its definition (Ioffe and Szegedy 2015; gradients by the chain rule), in double. x is [rows, channels],
// groups are consecutive equal parts of the rows.
#pragma once

#include "core/ops.h"
#include "support/compare.h"
#include "support/values.h"

namespace dcl::test {

struct BatchNormStatistics {
  Expected saved;  ///< [2, groups, channels]
  Expected running_mean, running_var;
};
BatchNormStatistics oracle_batch_norm_statistics(const BatchNormDesc& d, const Values& x, const Values& running_mean,
                                                 const Values& running_var);

/// residual is ignored unless the descriptor has one.
Expected oracle_batch_norm_apply(const BatchNormDesc& d, const Values& x, const Values& saved, const Values& gamma,
                                 const Values& beta, const Values& residual);

/// Of the results y as `positive` holds them (u8 [rows, channels / 8]): bit k of a byte for element k of eight.
std::vector<double> signs_of(const std::vector<double>& y);

struct BatchNormGradients {
  Expected dx, dgamma, dbeta;
  std::vector<double> masked;  ///< dy where the output was positive: dresidual
};
BatchNormGradients oracle_batch_norm_backward(const BatchNormDesc& d, const Values& dy, const Values& x,
                                              const Values& y, const Values& saved, const Values& gamma,
                                              const Values& beta);

}  // namespace dcl::test
