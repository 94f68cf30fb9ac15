#include "core/op_checks.h"

namespace dcl {

void violated(const char* op, const std::string& what) {
  fail(ErrorKind::internal, std::string("[") + op + "] " + what);
}

void require(bool holds, const char* op, const char* what) {
  if (!holds) violated(op, what);
}

void expect(const char* op, const char* operand, const ConstTensorRef& tensor, const Shape& shape, DType dtype) {
  if (!tensor) violated(op, std::string(operand) + " is missing");
  if (!(tensor.shape == shape) || tensor.dtype != dtype)
    violated(op, std::string(operand) + " is " + std::string(name_of(tensor.dtype)) + tensor.shape.text() +
                     ", expected " + std::string(name_of(dtype)) + shape.text());
}

void expect_optional(const char* op, const char* operand, const ConstTensorRef& tensor, const Shape& shape,
                     DType dtype) {
  if (tensor) expect(op, operand, tensor, shape, dtype);
}

void expect_workspace(const char* op, const Workspace& workspace, size_t needed) {
  if (workspace.bytes < needed || (needed > 0 && !workspace.data))
    violated(op, "workspace of " + std::to_string(workspace.bytes) + " bytes, expected " + std::to_string(needed));
}

void expect_activation_type(const char* op, DType dtype) {
  require(dtype == DType::f32 || dtype == DType::bf16, op, "dtype must be f32 or bf16");
}

}  // namespace dcl
