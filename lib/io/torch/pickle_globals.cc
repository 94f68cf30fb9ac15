#include "io/torch/pickle_globals.h"

#include <algorithm>

namespace dcl {
namespace {

using namespace std::string_view_literals;

struct Entry {
  std::string_view module, name;
  Global global;
};

constexpr Global unsupported_tensor(std::string_view kind) { return {Symbol::unsupported_tensor, {}, kind}; }

constexpr Entry kGlobals[] = {
    {"collections", "OrderedDict", {Symbol::dict}},
    {"collections", "Counter", {Symbol::dict}},
    {"builtins", "set", {Symbol::set}},
    {"__builtin__", "set", {Symbol::set}},
    {"_codecs", "encode", {Symbol::opaque}},  // bytes, in protocol 2
    {"builtins", "bytearray", {Symbol::opaque}},
    {"__builtin__", "bytearray", {Symbol::opaque}},
    {"builtins", "complex", {Symbol::opaque}},
    {"__builtin__", "complex", {Symbol::opaque}},
    {"torch", "Size", {Symbol::size}},
    {"torch", "device", {Symbol::device}},
    {"torch._utils", "_rebuild_tensor", {Symbol::tensor}},
    {"torch._utils", "_rebuild_tensor_v2", {Symbol::tensor}},
    {"torch._utils", "_rebuild_tensor_v3", {Symbol::tensor_v3}},
    {"torch._utils", "_rebuild_parameter", {Symbol::parameter}},
    {"torch._utils", "_rebuild_parameter_with_state", {Symbol::parameter}},
    {"torch.nn.parameter", "Parameter", {Symbol::parameter}},
    {"torch._tensor", "_rebuild_from_type_v2", {Symbol::typed_tensor}},
    {"torch", "Tensor", {Symbol::tensor_type}},
    {"torch", "UntypedStorage", {Symbol::untyped_storage}},
    {"torch.storage", "UntypedStorage", {Symbol::untyped_storage}},
    {"torch._utils", "_rebuild_qtensor", unsupported_tensor("quantised; save what its dequantize() gives")},
    {"torch._utils", "_rebuild_sparse_tensor", unsupported_tensor("sparse; save what its to_dense() gives")},
    {"torch._utils", "_rebuild_sparse_csr_tensor", unsupported_tensor("sparse; save what its to_dense() gives")},
    {"torch._utils", "_rebuild_nested_tensor", unsupported_tensor("nested; save what its unbind() gives")},
    {"torch._utils", "_rebuild_meta_tensor_no_storage", unsupported_tensor("on the device 'meta', without values")},
};

struct TypeNames {
  FileDType type;
  std::string_view storage;
  std::string_view dtypes[2];  // torch.NAME
};

constexpr TypeNames kTypes[] = {
    {FileDType::i64, "LongStorage", {"int64", "long"}},
    {FileDType::f64, "DoubleStorage", {"float64", "double"}},
    {FileDType::f32, "FloatStorage", {"float32", "float"}},
    {FileDType::i32, "IntStorage", {"int32", "int"}},
    {FileDType::bf16, "BFloat16Storage", {"bfloat16"}},
    {FileDType::f16, "HalfStorage", {"float16", "half"}},
    {FileDType::i16, "ShortStorage", {"int16", "short"}},
    {FileDType::i8, "CharStorage", {"int8"}},
    {FileDType::u8, "ByteStorage", {"uint8"}},
    {FileDType::boolean, "BoolStorage", {"bool"}},
};

constexpr std::string_view kOtherDtypes[] = {
    "uint16",      "uint32",          "uint64",          "complex32",      "complex64",
    "complex128",  "cfloat",          "cdouble",         "chalf",          "qint8",
    "quint8",      "qint32",          "quint4x2",        "quint2x4",       "float8_e4m3fn",
    "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2",
    "bits1x8",     "bits2x4",         "bits4x2",         "bits8",          "bits16",
};

}  // namespace

std::optional<Global> find_global(std::string_view module, std::string_view name) {
  for (const Entry& entry : kGlobals)
    if (entry.module == module && entry.name == name) return entry.global;
  if (module != "torch" || name.empty()) return std::nullopt;
  for (const TypeNames& type : kTypes) {
    if (name == type.storage) return Global{Symbol::storage_type, type.type};
    if (name == type.dtypes[0] || name == type.dtypes[1]) return Global{Symbol::dtype, type.type};
  }
  if (std::ranges::find(kOtherDtypes, name) != std::end(kOtherDtypes)) return Global{Symbol::unsupported_dtype};
  if (name.ends_with("Storage")) return Global{Symbol::unsupported_storage};
  return std::nullopt;
}

std::string_view storage_name(FileDType type) {
  for (const TypeNames& names : kTypes)
    if (names.type == type) return names.storage;
  return "";
}

}  // namespace dcl
