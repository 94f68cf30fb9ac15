// Convolution by its definition, in double: the loops over images, pixels, taps and channels.
#pragma once

#include "core/ops.h"
#include "support/compare.h"
#include "support/values.h"

namespace dcl::test {

/// Sums of ConvDesc's three passes; magnitudes are the sums of |products| when wanted, else empty.
Expected oracle_conv_forward(const ConvDesc& d, const Values& x, const Values& filter, bool magnitude);
Expected oracle_conv_backward_data(const ConvDesc& d, const Values& dy, const Values& filter, bool magnitude);
Expected oracle_conv_backward_filter(const ConvDesc& d, const Values& x, const Values& dy, bool magnitude);

/// Products added up in the longest sum of a pass.
int64_t conv_terms(const ConvDesc& d, ConvPass pass);

}  // namespace dcl::test
