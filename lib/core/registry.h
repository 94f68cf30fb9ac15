// Which backends there are and how to get one. `eigen` is always built in; `onednn` and `cuda` are shared modules
// opened at run time (or linked in by a build option), so one installation runs on any machine.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/backend_interface.h"

namespace dcl {

/// What a module exports as `extern "C" const dcl::BackendModule* dcl_backend_module()`.
struct BackendModule {
  int interface = kBackendInterface;
  const char* name = "";
  /// Throws Error{environment} with the reason when the backend cannot run on this machine.
  std::unique_ptr<Backend> (*create)() = nullptr;
};

struct BackendStatus {
  std::string name;
  bool available = false;
  std::string reason;  ///< why not, in one line; empty when available
  std::string path;    ///< module file; empty when built in
};

/// Names in the order `auto` tries them: cuda, onednn, eigen.
std::vector<BackendStatus> list_backends();

/// name: "auto", one of the names above, or NAME of a further dcl_NAME.so in DCL_BACKEND_PATH or beside the library.
/// Throws Error{environment} saying why it is not available; Error{usage} for an unknown name.
std::unique_ptr<Backend> make_backend(const std::string& name);

/// What a program computes in: the type of activations, and what f32 convolutions do with their factors.
struct Precision {
  DType activations = DType::f32;
  F32Math f32_math = F32Math::exact;
};
/// Of "f32", "tf32" (f32 activations) or "bf16"; Error{usage} for another name.
Precision precision_of(const std::string& dtype);

std::string name_of(const Precision& precision);

/// Sets a backend to precision_of(dtype), and logs which one it is. Error{environment} where it has no tf32.
void compute_in(Backend& backend, const std::string& dtype);
/// make_backend, then compute_in.
std::unique_ptr<Backend> open_backend(const std::string& name, const std::string& dtype);

/// What training computes in where nobody says it: "bf16" on a GPU whose tensor cores multiply it, where f32 takes ten
/// times as long and networks learn no less; "f32" elsewhere.
std::string usual_training_dtype(const Backend& backend);

}  // namespace dcl
