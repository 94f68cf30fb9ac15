#include "cuda/cudnn_descriptors.h"

namespace dcl::cuda {
namespace {

constexpr int64_t kAlignment = 16;  // of every tensor's first byte; workspaces and buffers have 64 or more
constexpr int64_t kMostKnobs = 64, kMostNotes = 32;

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

Descriptor convolution_descriptor(const Graph& graph) {
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

// ---- Descriptor -----------------------------------------------------------------------------------------------------

Descriptor::Descriptor(cudnnBackendDescriptorType_t type, const char* what) : what_(what) {
  check_cudnn(cudnn().create(type, &handle_), what_);
}

Descriptor::~Descriptor() {
  if (handle_) cudnn().destroy(handle_);
}

void Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                     const void* values) {
  check_cudnn(cudnn().set(handle_, name, type, count, values), what_);
}

int64_t Descriptor::get_int64(cudnnBackendAttributeName_t name) const {
  int64_t value = 0, count = 0;
  check_cudnn(cudnn().get(handle_, name, CUDNN_TYPE_INT64, 1, &count, &value), what_);
  return value;
}

int64_t Descriptor::get_descriptors(cudnnBackendAttributeName_t name,
                                    std::span<cudnnBackendDescriptor_t> descriptors) const {
  int64_t count = 0;
  check_cudnn(cudnn().get(handle_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<int64_t>(descriptors.size()),
                          &count, descriptors.empty() ? nullptr : descriptors.data()),
              what_);
  return count;
}

// ---- Device ---------------------------------------------------------------------------------------------------------

DeviceProperties::DeviceProperties(int device) : descriptor_(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "device properties") {
  descriptor_.set_enum(CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, static_cast<int32_t>(device));
  descriptor_.finalize();
}

DeviceProperties::DeviceProperties(const std::string& json)
    : descriptor_(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "device properties") {
  descriptor_.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, static_cast<int64_t>(json.size()),
                  json.data());
  descriptor_.finalize();
}

// ---- Graph ----------------------------------------------------------------------------------------------------------

OperationGraph::OperationGraph(const Graph& graph)
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

void OperationGraph::add_node(const Graph& graph, const GraphNode& node) {
  const auto input = [&](size_t i) -> const Descriptor& { return tensor(node.inputs.at(i)); };
  const auto output = [&](size_t i) -> const Descriptor& { return tensor(node.outputs.at(i)); };
  if (is_convolution(node.kind)) {
    const ConvolutionAttributes& names = attributes_of(node.kind);
    const Descriptor& convolution = parts_.emplace_back(convolution_descriptor(graph));
    Descriptor operation(names.type, names.what);
    const bool forward = node.kind == NodeKind::conv_forward, data = node.kind == NodeKind::conv_backward_data;
    operation.set(names.x, data ? output(0) : input(0));
    operation.set(names.filter, forward || data ? input(1) : output(0));
    operation.set(names.y, forward ? output(0) : data ? input(0) : input(1));
    operation.set(names.convolution, convolution);
    operation.set_enum(names.alpha, CUDNN_TYPE_FLOAT, 1.0f);
    operation.set_enum(names.beta, CUDNN_TYPE_FLOAT, node.onto_output ? 1.0f : 0.0f);
    operation.finalize();
    nodes_.push_back(std::move(operation));
  } else if (node.kind == NodeKind::statistics) {
    Descriptor operation(CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR, "statistics operation");
    operation.set_enum(CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_TYPE_GENSTATS_MODE, CUDNN_GENSTATS_SUM_SQSUM);
    operation.set_enum(CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
    operation.set(CUDNN_ATTR_OPERATION_GENSTATS_XDESC, input(0));
    operation.set(CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, output(0));
    operation.set(CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, output(1));
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
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, output(0));
    operation.finalize();
    nodes_.push_back(std::move(operation));
  }
}

// ---- Engines --------------------------------------------------------------------------------------------------------

namespace {

Descriptor engine_of(const Descriptor& config) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR, "engine");
  cudnnBackendDescriptor_t handle = engine.get();
  config.get_descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, {&handle, 1});
  return engine;
}

EngineChoice choice_of(const Descriptor& engine, const Descriptor& config) {
  EngineChoice choice{engine.get_int64(CUDNN_ATTR_ENGINE_GLOBAL_INDEX), {}};
  std::vector<Descriptor> knobs;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (int64_t i = 0; i < kMostKnobs; ++i)
    handles.push_back(knobs.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, "knob choice").get());
  const int64_t count = config.get_descriptors(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, handles);
  for (int64_t i = 0; i < std::min(count, kMostKnobs); ++i) {
    const Descriptor& knob = knobs[static_cast<size_t>(i)];
    const auto type = knob.get_enums<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1);
    choice.knobs.emplace_back(static_cast<int64_t>(type.at(0)), knob.get_int64(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
  }
  return choice;
}

Descriptor chosen_engine(const OperationGraph& graph, const DeviceProperties& device, int64_t index) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR, "engine");
  engine.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph.descriptor());
  engine.set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, index);
  engine.set(CUDNN_ATTR_ENGINE_DEVICEPROP, device.descriptor());
  engine.finalize();
  return engine;
}

Descriptor chosen_config(const Descriptor& engine, const EngineChoice& choice) {
  std::vector<Descriptor> knobs;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (const auto& [type, value] : choice.knobs) {
    Descriptor& knob = knobs.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, "knob choice");
    knob.set_enum(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, static_cast<cudnnBackendKnobType_t>(type));
    knob.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, value);
    knob.finalize();
    handles.push_back(knob.get());
  }
  Descriptor config(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "engine configuration");
  config.set(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
  if (!handles.empty()) config.set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, handles);
  config.finalize();
  return config;
}

void propose(const OperationGraph& graph, const DeviceProperties& device, cudnnBackendHeurMode_t mode,
             std::vector<EngineConfig>& proposals) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "engine heuristics");
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.descriptor());
  heuristics.set_enum(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device.descriptor());
  if (heuristics.try_finalize() != CUDNN_STATUS_SUCCESS) return;
  const int64_t count = heuristics.get_descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, {});
  if (count == 0) return;
  std::vector<Descriptor> configs;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (int64_t i = 0; i < count; ++i)
    handles.push_back(configs.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "engine configuration").get());
  const int64_t filled = heuristics.get_descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, handles);
  for (int64_t i = 0; i < std::min(count, filled); ++i)
    proposals.emplace_back(std::move(configs[static_cast<size_t>(i)]));
}

}  // namespace

EngineConfig::EngineConfig(Descriptor config)
    : engine_(engine_of(config)), config_(std::move(config)), choice_(choice_of(engine_, config_)) {}

EngineConfig::EngineConfig(const OperationGraph& graph, const DeviceProperties& device, const EngineChoice& choice)
    : engine_(chosen_engine(graph, device, choice.engine)), config_(chosen_config(engine_, choice)), choice_(choice) {}

EngineTraits EngineConfig::traits() const {
  EngineTraits traits;
  for (const auto note : engine_.get_enums<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                                        CUDNN_TYPE_NUMERICAL_NOTE, kMostNotes)) {
    traits.tensor_cores |= note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    traits.rounds_inputs |= note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
    traits.rounds_sums |= note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
    traits.nondeterministic |= note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
    traits.transforms |= note == CUDNN_NUMERICAL_NOTE_FFT || note == CUDNN_NUMERICAL_NOTE_WINOGRAD ||
                         note == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4 ||
                         note == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6 ||
                         note == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13;
  }
  for (const auto note : engine_.get_enums<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE,
                                                                       CUDNN_TYPE_BEHAVIOR_NOTE, kMostNotes))
    traits.compiles |= note == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
  return traits;
}

std::vector<EngineConfig> propose_engines(const OperationGraph& graph, const DeviceProperties& device) {
  std::vector<EngineConfig> proposals;
  propose(graph, device, CUDNN_HEUR_MODE_A, proposals);
  propose(graph, device, CUDNN_HEUR_MODE_FALLBACK, proposals);
  return proposals;
}

// ---- Plan -----------------------------------------------------------------------------------------------------------

ExecutionPlan::ExecutionPlan(std::shared_ptr<const OperationGraph> graph, EngineConfig config,
                             const DeviceProperties& device)
    : graph_(std::move(graph)),
      config_(std::move(config)),
      plan_(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "execution plan") {
  plan_.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config_.descriptor());
  plan_.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device.descriptor());
}

cudnnStatus_t ExecutionPlan::finalize() {
  const cudnnStatus_t status = plan_.try_finalize();
  if (status == CUDNN_STATUS_SUCCESS)
    workspace_bytes_ = static_cast<size_t>(plan_.get_int64(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
  return status;
}

void ExecutionPlan::run(cudnnHandle_t handle, std::span<const int64_t> ids, std::span<void* const> pointers,
                        void* workspace) const {
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "variant pack");
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids);
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, static_cast<int64_t>(pointers.size()),
           pointers.data());
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  pack.finalize();
  check_cudnn(cudnn().execute(handle, plan_.get(), pack.get()), "execution");
}

}  // namespace dcl::cuda
