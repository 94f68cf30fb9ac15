// Image files through the limits of data/decode.h, by whichever libraries this was built with (DCL_STB_ONLY: stb_image
// behind its fence).
#include <vector>

#include "data/decode.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dcl::fuzz::refusing(dcl::ErrorKind::data, [&] {
    const std::span<const uint8_t> file(data, size);
    const dcl::ImageSize extent = dcl::image_size(file);
    if (int64_t{extent.height} * extent.width > 1 << 20) return;  // allowed, but slow
    std::vector<uint8_t> rgb(static_cast<size_t>(extent.height) * static_cast<size_t>(extent.width) * 3);
    const bool gray = dcl::gray_saturates(file);
    dcl::decode_rgb(file, extent, rgb.data());
    for (size_t i = 0; gray && i < rgb.size(); i += 3)
      if (rgb[i] != rgb[i + 1] || rgb[i] != rgb[i + 2]) __builtin_trap();
  });
  return 0;
}
