// A stand-in for libcudnn.so.9 that has a version, $DCL_FAKE_CUDNN_VERSION, and nothing else.
#include <cstddef>
#include <cstdlib>

extern "C" size_t cudnnGetVersion() {
  const char* version = std::getenv("DCL_FAKE_CUDNN_VERSION");
  return version ? static_cast<size_t>(std::atoll(version)) : 0;
}
