// Writing ONNX models: a graph is put together node by node, its constants are produced while the file is written, one
// in memory at a time. Operator set 13 and IR version 7 (ONNX 1.8, 2020), which every later runtime reads.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "io/protobuf.h"
#include "io/tensor_file.h"
#include "io/tensor_source.h"

namespace dcl {

class OnnxGraph {
 public:
  /// An extent that is fixed, or named and free.
  using Extent = std::variant<int64_t, std::string>;
  struct Attribute {
    std::string name;
    std::variant<int64_t, std::vector<int64_t>> value;
  };

  explicit OnnxGraph(std::string name) : name_(std::move(name)) {}

  /// f32 tensors. An output is the result of a node of that name.
  void input(std::string_view name, const std::vector<Extent>& shape) { inputs_.push_back(value_info(name, shape)); }
  void output(std::string_view name, const std::vector<Extent>& shape) { outputs_.push_back(value_info(name, shape)); }
  /// A constant, f32; returns its name.
  std::string constant(TensorSource tensor);
  std::string constant(std::string name, std::vector<int64_t> shape, std::vector<float> values);
  size_t constants() const { return constants_.size(); }
  /// A node with one result, which is named `result` and also returned. Nodes must come after what they read.
  std::string node(std::string_view op, const std::vector<std::string>& operands, std::string result,
                   const std::vector<Attribute>& attributes = {});

  /// Writes the model through an AtomicFile; `metadata` becomes its metadata_props. Error{usage} when it would exceed
  /// the 2 GiB that a protobuf message may have.
  void write(const std::filesystem::path& path, const FileMetadata& metadata) const;

 private:
  static ProtoMessage value_info(std::string_view name, const std::vector<Extent>& shape);

  std::string name_;
  std::vector<ProtoMessage> nodes_, inputs_, outputs_;
  std::vector<TensorSource> constants_;
};

}  // namespace dcl
