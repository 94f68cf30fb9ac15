// Pickles, with the storage ids of both of PyTorch's formats.
#include "io/torch/pickle.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto source = dcl::fuzz::source_of(data, size);
  for (const auto ids : {dcl::StorageIds::none, dcl::StorageIds::zip, dcl::StorageIds::legacy})
    dcl::fuzz::refusing(dcl::ErrorKind::data, [&] { dcl::read_pickle(*source, 0, ids); });
  return 0;
}
