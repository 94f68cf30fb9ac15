#include "cuda/cudnn_descriptors.h"

namespace dcl::cuda {

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

// ---- Engines --------------------------------------------------------------------------------------------------------

namespace {

constexpr int64_t kMostKnobs = 64, kMostNotes = 32;

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

std::optional<EngineConfig> find_engine(const OperationGraph& graph, const DeviceProperties& device,
                                        const EngineChoice& choice) {
  try {
    return EngineConfig(graph, device, choice);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::out_of_memory) throw;
    return {};
  }
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
