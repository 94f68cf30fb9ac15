// The header of NPY files, a Python literal.
#include "io/npy_header.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dcl::fuzz::refusing(dcl::ErrorKind::data,
                      [&] { dcl::read_npy_header("input", size, std::as_bytes(std::span(data, size))); });
  return 0;
}
