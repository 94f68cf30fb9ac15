// A backend module that was built against other headers.
#include "core/registry.h"

extern "C" const dcl::BackendModule* dcl_backend_module() {
  static const dcl::BackendModule module{dcl::kBackendInterface + 1, "outdated", nullptr};
  return &module;
}
