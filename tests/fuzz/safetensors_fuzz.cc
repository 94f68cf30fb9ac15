// Safetensors files: header (JSON), layout, metadata, checksums.
#include "io/safetensors.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dcl::fuzz::refusing(dcl::ErrorKind::data, [&] {
    const dcl::SafetensorsFile file(dcl::fuzz::source_of(data, size));
    dcl::fuzz::read_everything(file);
    file.verify();
  });
  return 0;
}
