// Operation graphs of cuDNN, built from data (conv_pattern.h).
#include "cuda/cudnn_descriptors.h"

namespace dcl::cuda {
namespace {

constexpr int64_t kAlignment = 16;  // of every tensor's first byte; workspaces and buffers have 64 or more

cudnnDataType_t data_type_of(DType type) {
  switch (type) {
    case DType::f32:
      return CUDNN_DATA_FLOAT;
    case DType::bf16:
      return CUDNN_DATA_BFLOAT16;
    default:
      fail(ErrorKind::internal, "no cuDNN graph has tensors of type " + std::string(name_of(type)));
  }
}

Descriptor tensor_descriptor(const GraphTensor& t) {
  Descriptor d(CUDNN_BACKEND_TENSOR_DESCRIPTOR, "tensor");
  d.set_enum(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, data_type_of(t.dtype));
  d.set(CUDNN_ATTR_TENSOR_DIMENSIONS, t.dims);
  d.set(CUDNN_ATTR_TENSOR_STRIDES, t.strides);
  d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, t.id);
  d.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignment);
  d.set_enum(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, !t.in_memory());
  d.finalize();
  return d;
}

Descriptor convolution_descriptor(const ConvGraph& graph) {
  Descriptor d(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "convolution");
  const int64_t pad[2] = {graph.pad, graph.pad}, stride[2] = {graph.stride, graph.stride}, dilation[2] = {1, 1};
  d.set_enum(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  d.set_enum(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION);
  d.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2);
  d.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, pad);
  d.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, pad);
  d.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, stride);
  d.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, dilation);
  d.finalize();
  return d;
}

Descriptor pointwise_descriptor(cudnnPointwiseMode_t mode) {
  Descriptor d(CUDNN_BACKEND_POINTWISE_DESCRIPTOR, "pointwise");
  d.set_enum(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode);
  d.set_enum(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  d.finalize();
  return d;
}

/// The attributes of one of the three convolution operations; all take result = alpha * convolution + beta * result.
struct ConvolutionAttributes {
  cudnnBackendDescriptorType_t type;
  const char* what;
  cudnnBackendAttributeName_t x, filter, y, convolution, alpha, beta;
};

const ConvolutionAttributes& attributes_of(NodeKind kind) {
  static const ConvolutionAttributes forward{CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                                             "convolution forward operation",
                                             CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                                             CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                             CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                                             CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                             CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                                             CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
  static const ConvolutionAttributes data{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                                          "convolution backward data operation",
                                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
  static const ConvolutionAttributes filter{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                            "convolution backward filter operation",
                                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
  return kind == NodeKind::conv_forward ? forward : kind == NodeKind::conv_backward_data ? data : filter;
}

bool is_convolution(NodeKind kind) {
  return kind == NodeKind::conv_forward || kind == NodeKind::conv_backward_data ||
         kind == NodeKind::conv_backward_filter;
}

Descriptor finalized_graph(std::span<const Descriptor> nodes) {
  std::vector<cudnnBackendDescriptor_t> handles;
  for (const Descriptor& node : nodes) handles.push_back(node.get());
  Descriptor d(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "operation graph");
  d.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, handles);
  d.finalize();
  return d;
}

}  // namespace

OperationGraph::OperationGraph(const ConvGraph& graph)
    : graph_([&] {
        for (const GraphTensor& t : graph.tensors) tensors_.emplace_back(t.id, tensor_descriptor(t));
        for (const GraphNode& node : graph.nodes) add_node(graph, node);
        return finalized_graph(nodes_);
      }()) {}

const Descriptor& OperationGraph::tensor(int64_t id) const {
  for (const auto& [known, descriptor] : tensors_)
    if (known == id) return descriptor;
  fail(ErrorKind::internal, "convolution graph has no tensor " + std::to_string(id));
}

void OperationGraph::add_node(const ConvGraph& graph, const GraphNode& node) {
  const auto input = [&](size_t i) -> const Descriptor& { return tensor(node.inputs.at(i)); };
  const Descriptor& output = tensor(node.output);
  if (is_convolution(node.kind)) {
    const ConvolutionAttributes& names = attributes_of(node.kind);
    const Descriptor& convolution = parts_.emplace_back(convolution_descriptor(graph));
    Descriptor operation(names.type, names.what);
    const bool forward = node.kind == NodeKind::conv_forward, data = node.kind == NodeKind::conv_backward_data;
    operation.set(names.x, data ? output : input(0));
    operation.set(names.filter, forward || data ? input(1) : output);
    operation.set(names.y, forward ? output : data ? input(0) : input(1));
    operation.set(names.convolution, convolution);
    operation.set_enum(names.alpha, CUDNN_TYPE_FLOAT, 1.0f);
    operation.set_enum(names.beta, CUDNN_TYPE_FLOAT, node.onto_output ? 1.0f : 0.0f);
    operation.finalize();
    nodes_.push_back(std::move(operation));
  } else {
    const bool add = node.kind == NodeKind::add;
    const Descriptor& pointwise =
        parts_.emplace_back(pointwise_descriptor(add ? CUDNN_POINTWISE_ADD : CUDNN_POINTWISE_RELU_FWD));
    Descriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, add ? "add operation" : "ReLU operation");
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pointwise);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, input(0));
    if (add) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, input(1));
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, output);
    operation.finalize();
    nodes_.push_back(std::move(operation));
  }
}

}  // namespace dcl::cuda
