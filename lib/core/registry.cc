#include "core/registry.h"

#include <dlfcn.h>

#include <algorithm>
#include <filesystem>

#include "core/environment.h"
#include "core/error.h"
#include "core/file.h"
#include "core/log.h"
#include "core/parallel.h"

namespace dcl {

/// The built-in backend (backends/eigen) and, when linked statically, oneDNN (backends/onednn).
const BackendModule* eigen_backend_module();
#ifdef DCL_STATIC_ONEDNN
const BackendModule* onednn_backend_module();
#endif

namespace {

constexpr const char* kModuleNames[] = {"cuda", "onednn"};

/// Directories that may hold modules: $DCL_BACKEND_PATH (colon-separated), beside the library (installed, build tree).
std::vector<std::filesystem::path> module_directories(const std::string& name) {
  std::vector<std::filesystem::path> directories;
  std::string rest = environment_variable("DCL_BACKEND_PATH");
  while (!rest.empty()) {
    const size_t colon = rest.find(':');
    if (colon != 0) directories.emplace_back(rest.substr(0, colon));
    rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
  }
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&list_backends), &info) && info.dli_fname) {
    std::error_code ignored;
    const auto library = std::filesystem::canonical(info.dli_fname, ignored).parent_path();
    directories.push_back(library / "dcl");
    directories.push_back(library / "backends");
    directories.push_back(library / "backends" / name);
    directories.push_back(library.parent_path() / "backends" / name);
  }
  return directories;
}

struct Opened {
  const BackendModule* module = nullptr;
  std::string path, reason;
};

/// The module's file; empty when there is none.
std::string module_file(const std::string& name) {
  for (const auto& directory : module_directories(name)) {
    const auto file = directory / ("dcl_" + name + ".so");
    std::error_code ignored;
    if (std::filesystem::exists(file, ignored)) return file.string();
  }
  return "";
}

/// Whether a module that this library does not know by name was put there.
bool module_exists(const std::string& name) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; };
  return std::all_of(name.begin(), name.end(), plain) && !module_file(name).empty();
}

Opened open_module(const std::string& name) {
  Opened opened{nullptr, module_file(name), ""};
  if (opened.path.empty()) {
    opened.reason = "not installed: no dcl_" + name + ".so beside the library or in DCL_BACKEND_PATH";
    return opened;
  }
  void* handle = dlopen(opened.path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char* error = dlerror();
    opened.reason = error ? error : "the module cannot be loaded";
    return opened;
  }
  using Entry = const BackendModule* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(handle, "dcl_backend_module"));
  const BackendModule* module = entry ? entry() : nullptr;
  if (!module || module->interface != kBackendInterface) {
    opened.reason = opened.path + " was built for another version of dcl: install the one that came with this library";
    return opened;
  }
  opened.module = module;
  return opened;
}

Opened find_module(const std::string& name) {
  if (name == "eigen") return {eigen_backend_module(), "", ""};
#ifdef DCL_STATIC_ONEDNN
  if (name == "onednn") return {onednn_backend_module(), "", ""};
#endif
  return open_module(name);
}

std::vector<std::string> names_in_order() { return {kModuleNames[0], kModuleNames[1], "eigen"}; }

}  // namespace

std::vector<BackendStatus> list_backends() {
  std::vector<BackendStatus> all;
  for (const auto& name : names_in_order()) {
    const Opened opened = find_module(name);
    BackendStatus status{name, false, opened.reason, opened.path};
    if (opened.module) {
      try {
        opened.module->create();
        status.available = true;
      } catch (const std::exception& error) {
        status.reason = error.what();
      }
    }
    all.push_back(std::move(status));
  }
  return all;
}

std::unique_ptr<Backend> make_backend(const std::string& name) {
  std::string reason;
  const auto try_to_make = [&](const std::string& candidate) -> std::unique_ptr<Backend> {
    const Opened opened = find_module(candidate);
    reason = opened.reason;
    try {
      return opened.module ? opened.module->create() : nullptr;
    } catch (const Error& error) {
      if (name == "auto" && error.kind() == ErrorKind::environment) return nullptr;
      throw;
    }
  };
  const std::vector<std::string> known = names_in_order();
  if (name == "auto") {
    for (const auto& candidate : known)
      if (auto backend = try_to_make(candidate)) return backend;
    fail(ErrorKind::environment, "no backend works on this machine; `dcl-info` says why");
  }
  if (std::find(known.begin(), known.end(), name) == known.end() && !module_exists(name))
    fail(ErrorKind::usage, "unknown device '" + name + "': expected auto, cuda, onednn or eigen");
  if (auto backend = try_to_make(name)) return backend;
  fail(ErrorKind::environment, "device '" + name + "' is not available: " + reason);
}

Precision precision_of(const std::string& dtype) {
  if (dtype == "f32") return {};
  if (dtype == "tf32") return {.f32_math = F32Math::tf32};
  if (dtype == "bf16") return {.activations = DType::bf16};
  fail(ErrorKind::usage, "unknown dtype " + quoted(dtype) + ": expected f32, tf32 or bf16");
}

std::string name_of(const Precision& precision) {
  const bool rounded = precision.activations == DType::f32 && precision.f32_math == F32Math::tf32;
  return rounded ? "tf32" : std::string(name_of(precision.activations));
}

void compute_in(Backend& backend, const std::string& dtype) {
  backend.set_f32_math(precision_of(dtype).f32_math);
  const BackendInfo info = backend.info();
  log(LogLevel::info,
      "device: " + info.name + " on " + info.device + ", " + std::to_string(thread_count()) + " threads, " + dtype);
  // PyTorch's users expect tf32 here, without having asked for it.
  if (dtype == "f32" && backend.on_device())
    log(LogLevel::info,
        "f32 leaves a GPU's tensor cores idle: --dtype tf32, as PyTorch's convolutions by default, and bf16 are "
        "several times as fast");
}

std::unique_ptr<Backend> open_backend(const std::string& name, const std::string& dtype) {
  precision_of(dtype);  // a wrong name is told before a device is looked for
  auto backend = make_backend(name);
  compute_in(*backend, dtype);
  return backend;
}

std::string usual_training_dtype(const Backend& backend) {
  return backend.on_device() && backend.has_tf32() ? "bf16" : "f32";
}

}  // namespace dcl
