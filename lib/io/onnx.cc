#include "io/onnx.h"

#include "core/error.h"
#include "core/file.h"
#include "io/atomic_file.h"
#include "io/file.h"

namespace dcl {
namespace {

// Numbers of onnx.proto.
constexpr int64_t kIrVersion = 7, kOpset = 13;
constexpr int64_t kFloatTensor = 1;
constexpr int64_t kIntegerAttribute = 2, kIntegersAttribute = 7;
constexpr uint64_t kMaxModelBytes = (uint64_t{1} << 31) - 1;

ProtoMessage attribute_message(const OnnxGraph::Attribute& attribute) {
  ProtoMessage out;
  out.text(1, attribute.name);
  if (const auto* one = std::get_if<int64_t>(&attribute.value))
    return out.integer(3, *one).integer(20, kIntegerAttribute);
  for (const int64_t value : std::get<std::vector<int64_t>>(attribute.value)) out.integer(8, value);
  return out.integer(20, kIntegersAttribute);
}

/// An initializer of the graph up to its values, which must follow.
ProtoMessage constant_head(const TensorSource& tensor) {
  ProtoMessage inside;
  for (const int64_t extent : tensor.shape) inside.integer(1, extent);
  inside.integer(2, kFloatTensor).text(8, tensor.name).head(9, bytes_of(tensor));
  ProtoMessage out;
  out.head(5, inside.bytes().size() + bytes_of(tensor));
  return out.append(inside);
}

}  // namespace

ProtoMessage OnnxGraph::value_info(std::string_view name, const std::vector<Extent>& shape) {
  ProtoMessage extents, tensor, type, out;
  for (const Extent& extent : shape) {
    ProtoMessage one;
    if (const auto* fixed = std::get_if<int64_t>(&extent))
      one.integer(1, *fixed);
    else
      one.text(2, std::get<std::string>(extent));
    extents.message(1, one);
  }
  tensor.integer(1, kFloatTensor).message(2, extents);
  type.message(1, tensor);
  return out.text(1, name).message(2, type);
}

std::string OnnxGraph::constant(TensorSource tensor) {
  if (tensor.dtype != FileDType::f32) fail(ErrorKind::internal, "constants of an ONNX graph are f32");
  constants_.push_back(std::move(tensor));
  return constants_.back().name;
}

std::string OnnxGraph::constant(std::string name, std::vector<int64_t> shape, std::vector<float> values) {
  return constant(
      {std::move(name), FileDType::f32, std::move(shape),
       [values = std::move(values)](const ByteSink& sink) { sink(values.data(), values.size() * sizeof(float)); }});
}

std::string OnnxGraph::node(std::string_view op, const std::vector<std::string>& operands, std::string result,
                            const std::vector<Attribute>& attributes) {
  ProtoMessage node;
  for (const std::string& operand : operands) node.text(1, operand);
  node.text(2, result).text(3, result).text(4, op);
  for (const Attribute& attribute : attributes) node.message(5, attribute_message(attribute));
  nodes_.push_back(std::move(node));
  return result;
}

void OnnxGraph::write(const std::filesystem::path& path, const FileMetadata& metadata) const {
  check_sources(constants_);
  ProtoMessage start, graph, opset, end;
  for (const ProtoMessage& node : nodes_) graph.message(1, node);
  graph.text(2, name_);
  for (const ProtoMessage& input : inputs_) graph.message(11, input);
  for (const ProtoMessage& output : outputs_) graph.message(12, output);
  uint64_t graph_bytes = graph.bytes().size();
  for (const TensorSource& tensor : constants_) graph_bytes += constant_head(tensor).bytes().size() + bytes_of(tensor);
  start.integer(1, kIrVersion).text(2, "dcl").head(7, graph_bytes);
  end.message(8, opset.integer(2, kOpset));
  for (const auto& [key, value] : metadata) end.message(14, ProtoMessage().text(1, key).text(2, value));

  const uint64_t total = start.bytes().size() + graph_bytes + end.bytes().size();
  if (total > kMaxModelBytes)
    fail(ErrorKind::usage,
         quoted(path) + ": the model takes " + bytes_text(total) + ", an ONNX file holds at most 2 GiB");
  AtomicFile file(path, total);
  file.write(start.bytes());
  file.write(graph.bytes());
  for (const TensorSource& tensor : constants_) {
    file.write(constant_head(tensor).bytes());
    produce_into(tensor, [&](const void* data, size_t bytes) { file.write(data, bytes); });
  }
  file.write(end.bytes());
  file.commit();
}

}  // namespace dcl
