// ZIP archives, and what is read from them: NPZ, PyTorch's ZIP format.
#include "io/npz.h"
#include "io/torch/torch_file.h"
#include "io/zip.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto source = dcl::fuzz::source_of(data, size);
  dcl::fuzz::refusing(dcl::ErrorKind::data, [&] {
    const dcl::ZipArchive archive(source);
    for (const dcl::ZipEntry& entry : archive.entries()) archive.read(entry, 1 << 16);
  });
  dcl::fuzz::refusing(dcl::ErrorKind::data, [&] {
    dcl::ZipArchive archive(source);
    dcl::fuzz::read_everything(dcl::is_npz(archive) ? *dcl::open_npz(source, std::move(archive))
                                                    : *dcl::open_torch_zip(source, std::move(archive)));
  });
  return 0;
}
