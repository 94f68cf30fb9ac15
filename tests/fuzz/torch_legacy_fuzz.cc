// PyTorch's legacy format: pickles one after another, then storages.
#include "io/torch/torch_file.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dcl::fuzz::refusing(dcl::ErrorKind::data,
                      [&] { dcl::fuzz::read_everything(*dcl::open_torch_legacy(dcl::fuzz::source_of(data, size))); });
  return 0;
}
