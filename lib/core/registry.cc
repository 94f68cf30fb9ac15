#include "core/registry.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

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
  if (const char* env = std::getenv("DCL_BACKEND_PATH")) {
    std::string rest = env;
    while (!rest.empty()) {
      const size_t colon = rest.find(':');
      if (colon != 0) directories.emplace_back(rest.substr(0, colon));
      rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
    }
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

Opened open_module(const std::string& name) {
  Opened opened;
  for (const auto& directory : module_directories(name)) {
    const auto file = directory / ("dcl_" + name + ".so");
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored)) continue;
    opened.path = file.string();
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
      opened.reason = opened.path + " was built for another version of dcl";
      return opened;
    }
    opened.module = module;
    return opened;
  }
  opened.reason = "not installed: no dcl_" + name + ".so beside the library or in DCL_BACKEND_PATH";
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
  std::string reasons;
  for (const auto& candidate : names_in_order()) {
    if (name != "auto" && name != candidate) continue;
    const Opened opened = find_module(candidate);
    if (opened.module) {
      try {
        return opened.module->create();
      } catch (const Error& error) {
        if (name == "auto" && error.kind() == ErrorKind::environment) continue;
        throw;
      }
    }
    reasons = opened.reason;
  }
  if (name == "auto") fail(ErrorKind::environment, "no backend works on this machine; `dcl-info` says why");
  if (reasons.empty()) fail(ErrorKind::usage, "unknown device '" + name + "': expected auto, cuda, onednn or eigen");
  fail(ErrorKind::environment, "device '" + name + "' is not available: " + reasons);
}

}  // namespace dcl
