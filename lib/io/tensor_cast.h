// Tensors of a file on their way to another file, with another element type.
#pragma once

#include <string>

#include "io/tensor_file.h"
#include "io/tensor_source.h"

namespace dcl {

/// A floating tensor of a file as f32, f16 or bf16, rounded to nearest. Producing it fails with Error{data} where a
/// finite value would become infinite. The file must stay open until then.
TensorSource cast_source(const TensorFile& file, const FileTensor& tensor, std::string name, FileDType type);

}  // namespace dcl
