// A stand-in for NVIDIA's libcuda.so.1 that answers as a driver does on a machine where CUDA cannot be used: cuInit,
// and whatever else is asked for, returns $DCL_FAKE_DRIVER_STATUS, and the driver supports CUDA
// $DCL_FAKE_DRIVER_VERSION.
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

int number(const char* name, int fallback) {
  const char* value = std::getenv(name);
  return value ? std::atoi(value) : fallback;
}

int status() { return number("DCL_FAKE_DRIVER_STATUS", 100); }

}  // namespace

extern "C" {

int cuInit(unsigned) { return status(); }

int cuDriverGetVersion(int* version) {
  *version = number("DCL_FAKE_DRIVER_VERSION", 13000);
  return 0;
}

int cuGetExportTable(const void** table, const void*) {
  *table = nullptr;
  return status();
}

int cuGetProcAddress_v2(const char* symbol, void** function, int, uint64_t, int* found) {
  const auto is = [&](const char* name) { return std::strcmp(symbol, name) == 0; };
  if (is("cuDriverGetVersion"))
    *function = reinterpret_cast<void*>(&cuDriverGetVersion);
  else if (is("cuGetProcAddress"))
    *function = reinterpret_cast<void*>(&cuGetProcAddress_v2);
  else if (is("cuGetExportTable"))
    *function = reinterpret_cast<void*>(&cuGetExportTable);
  else
    *function = reinterpret_cast<void*>(&status);
  if (found) *found = 0;
  return 0;
}

int cuGetProcAddress(const char* symbol, void** function, int version, uint64_t flags) {
  return cuGetProcAddress_v2(symbol, function, version, flags, nullptr);
}

}  // extern "C"
