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

}  // namespace dcl
