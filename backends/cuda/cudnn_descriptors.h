// The graph interface of cuDNN as owning objects: graphs are built from data (conv_pattern.h), engines are proposed by
// cuDNN's heuristics, an engine with its knobs becomes a plan, and a plan runs. No object here needs a device but a
// plan that runs: the device is described by DeviceProperties.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "cuda/conv_pattern.h"
#include "cuda/cudnn_library.h"
#include "cuda/engine_choice.h"

namespace dcl::cuda {

/// A backend descriptor of cuDNN; errors name it as `what` does.
class Descriptor {
 public:
  Descriptor(cudnnBackendDescriptorType_t type, const char* what);
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : what_(other.what_), handle_(std::exchange(other.handle_, nullptr)) {}
  Descriptor& operator=(Descriptor&&) = delete;

  cudnnBackendDescriptor_t get() const { return handle_; }
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void* values);
  void set(cudnnBackendAttributeName_t name, int64_t value) { set(name, CUDNN_TYPE_INT64, 1, &value); }
  void set(cudnnBackendAttributeName_t name, std::span<const int64_t> values) {
    set(name, CUDNN_TYPE_INT64, static_cast<int64_t>(values.size()), values.data());
  }
  void set(cudnnBackendAttributeName_t name, const Descriptor& other) {
    set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other.handle_);
  }
  void set(cudnnBackendAttributeName_t name, std::span<const cudnnBackendDescriptor_t> others) {
    set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<int64_t>(others.size()), others.data());
  }
  template <class Enum>
  void set_enum(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, Enum value) {
    set(name, type, 1, &value);
  }
  /// CUDNN_STATUS_NOT_SUPPORTED... is an answer, not a failure.
  cudnnStatus_t try_finalize() { return cudnn().finalize(handle_); }
  void finalize() { check_cudnn(try_finalize(), what_); }

  int64_t get_int64(cudnnBackendAttributeName_t name) const;
  /// Fills `descriptors` (created by the caller) and returns how many there are.
  int64_t get_descriptors(cudnnBackendAttributeName_t name, std::span<cudnnBackendDescriptor_t> descriptors) const;
  template <class Enum>
  std::vector<Enum> get_enums(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t most) const {
    std::vector<Enum> values(static_cast<size_t>(most));
    int64_t count = 0;
    check_cudnn(cudnn().get(handle_, name, type, most, &count, values.data()), what_);
    values.resize(static_cast<size_t>(std::min(count, most)));
    return values;
  }

 private:
  const char* what_;
  cudnnBackendDescriptor_t handle_ = nullptr;
};

/// What engines must know of the GPU.
class DeviceProperties {
 public:
  /// Of a CUDA device of this process.
  explicit DeviceProperties(int device);
  /// Of a GPU that need not be here, as cuDNN's JSON describes it.
  explicit DeviceProperties(const std::string& json);
  const Descriptor& descriptor() const { return descriptor_; }

 private:
  Descriptor descriptor_;
};

/// An operation graph with everything it consists of.
class OperationGraph {
 public:
  explicit OperationGraph(const ConvGraph& graph);
  const Descriptor& descriptor() const { return graph_; }

 private:
  void add_node(const ConvGraph& graph, const GraphNode& node);
  const Descriptor& tensor(int64_t id) const;

  std::vector<std::pair<int64_t, Descriptor>> tensors_;
  std::vector<Descriptor> parts_, nodes_;  // parts_: what nodes refer to
  Descriptor graph_;
};

/// An engine with its knobs.
class EngineConfig {
 public:
  /// As a heuristic proposed it.
  explicit EngineConfig(Descriptor config);
  /// As it was chosen before; throws when this cuDNN has no such engine for the graph.
  EngineConfig(const OperationGraph& graph, const DeviceProperties& device, const EngineChoice& choice);

  const Descriptor& descriptor() const { return config_; }
  const EngineChoice& choice() const { return choice_; }
  EngineTraits traits() const;

 private:
  Descriptor engine_, config_;
  EngineChoice choice_;
};

/// An engine as it was chosen before; nothing when this cuDNN has no such engine for the graph.
std::optional<EngineConfig> find_engine(const OperationGraph& graph, const DeviceProperties& device,
                                        const EngineChoice& choice);

/// What cuDNN proposes, best first, then what it falls back to.
std::vector<EngineConfig> propose_engines(const OperationGraph& graph, const DeviceProperties& device);

/// Something that can run, when finalize() has succeeded.
class ExecutionPlan {
 public:
  ExecutionPlan(std::shared_ptr<const OperationGraph> graph, EngineConfig config, const DeviceProperties& device);

  /// May compile and load kernels: up to seconds. Success, or why the engine cannot serve (it is then of no use).
  cudnnStatus_t finalize();
  size_t workspace_bytes() const { return workspace_bytes_; }
  const EngineConfig& config() const { return config_; }
  /// ids and pointers of the graph's operands, in the same order. Enqueues on the handle's stream.
  void run(cudnnHandle_t handle, std::span<const int64_t> ids, std::span<void* const> pointers, void* workspace) const;

 private:
  std::shared_ptr<const OperationGraph> graph_;
  EngineConfig config_;
  Descriptor plan_;
  size_t workspace_bytes_ = 0;
};

}  // namespace dcl::cuda
