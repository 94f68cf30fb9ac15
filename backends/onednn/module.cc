// Entry of the run-time module dcl_onednn.so.
#include "core/registry.h"

namespace dcl {
const BackendModule* onednn_backend_module();
}

extern "C" const dcl::BackendModule* dcl_backend_module() { return dcl::onednn_backend_module(); }
