// A file of any format, as programs open them: recognised by its first bytes.
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dcl::fuzz::refusing(dcl::ErrorKind::data,
                      [&] { dcl::fuzz::read_everything(*dcl::open_tensor_file(dcl::fuzz::source_of(data, size))); });
  return 0;
}
