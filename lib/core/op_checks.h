// What the public ops check of their operands. Violations throw Error{internal} naming op, operand and expectation.
#pragma once

#include "core/backend.h"

namespace dcl {

[[noreturn]] void violated(const char* op, const std::string& what);
void require(bool holds, const char* op, const char* what);
void expect(const char* op, const char* operand, const ConstTensorRef& tensor, const Shape& shape, DType dtype);
void expect_optional(const char* op, const char* operand, const ConstTensorRef& tensor, const Shape& shape,
                     DType dtype);
void expect_workspace(const char* op, const Workspace& workspace, size_t needed);
void expect_activation_type(const char* op, DType dtype);

// Of batch norm, and of the convolution that takes its statistics.
void check_batch_norm(const char* op, const BatchNormDesc& d);
void expect_statistics(const char* op, const BatchNormDesc& d, const TensorRef& saved, const TensorRef& running_mean,
                       const TensorRef& running_var);

}  // namespace dcl
