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

void check_batch_norm(const char* op, const BatchNormDesc& d) {
  expect_activation_type(op, d.dtype);
  require(d.rows > 0 && d.channels > 0 && d.groups > 0 && d.rows % d.groups == 0, op,
          "rows must be a positive multiple of groups");
  require(d.running_every > 0 && d.groups % d.running_every == 0, op, "groups must be a multiple of running_every");
}

void expect_statistics(const char* op, const BatchNormDesc& d, const TensorRef& saved, const TensorRef& running_mean,
                       const TensorRef& running_var) {
  expect(op, "saved", saved, d.saved_shape(), DType::f32);
  require(static_cast<bool>(running_mean) == static_cast<bool>(running_var), op, "running statistics come in pairs");
  require(!running_mean || d.rows > d.groups, op, "a variance needs two rows per group");
  expect_optional(op, "running_mean", running_mean, {d.channels}, DType::f32);
  expect_optional(op, "running_var", running_var, {d.channels}, DType::f32);
}

}  // namespace dcl
