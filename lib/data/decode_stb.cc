// JPEG and PNG through stb_image, for builds without libjpeg or libpng. Its other formats are not compiled in.
#include <algorithm>
#include <cstring>
#include <memory>

#include "core/error.h"
#include "data/decoders.h"
#include "data/decoders_config.h"
#include "data/jpeg_check.h"
#include "data/png_check.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 16384
#define STBI_FAILURE_USERMSG
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wpedantic"
#include DCL_STB_IMAGE_HEADER
#pragma GCC diagnostic pop

namespace dcl::decoders {
namespace {

using Bytes = std::span<const uint8_t>;

[[noreturn]] void fail_stb() {
  const char* reason = stbi_failure_reason();
  fail(ErrorKind::data, reason != nullptr ? reason : "damaged image");
}

struct Free {
  void operator()(void* data) const { stbi_image_free(data); }
};

bool is_jpeg(Bytes file) { return !file.empty() && file[0] == 0xFF; }

int length_of(Bytes file) {
  if (static_cast<int64_t>(file.size()) > kMaxImageFileBytes) fail(ErrorKind::data, "the file is too large");
  return static_cast<int>(file.size());
}

}  // namespace

ImageSize stb_size(Bytes file) {
  is_jpeg(file) ? check_jpeg(file) : check_png(file);
  int width = 0, height = 0, channels = 0;
  if (!stbi_info_from_memory(file.data(), length_of(file), &width, &height, &channels)) fail_stb();
  return {height, width};
}

void stb_decode(Bytes file, ImageSize size, uint8_t* rgb) {
  is_jpeg(file) ? check_jpeg(file) : check_png_data(file);
  const size_t pixels = static_cast<size_t>(size.height) * static_cast<size_t>(size.width);
  int width = 0, height = 0, channels = 0;
  if (!stbi_info_from_memory(file.data(), length_of(file), &width, &height, &channels)) fail_stb();
  if (width != size.width || height != size.height) fail(ErrorKind::data, "the file changed while it was read");
  if (channels == 1 && stbi_is_16_bit_from_memory(file.data(), length_of(file))) {
    // As Pillow's I;16 to RGB: values above 255 saturate.
    const std::unique_ptr<uint16_t, Free> gray(
        stbi_load_16_from_memory(file.data(), length_of(file), &width, &height, &channels, 1));
    if (!gray) fail_stb();
    for (size_t i = 0; i < pixels; ++i) std::memset(rgb + 3 * i, std::min<int>(gray.get()[i], 255), 3);
    return;
  }
  const std::unique_ptr<uint8_t, Free> image(
      stbi_load_from_memory(file.data(), length_of(file), &width, &height, &channels, 3));
  if (!image) fail_stb();
  std::memcpy(rgb, image.get(), pixels * 3);
}

std::string stb_version() { return "stb_image"; }

}  // namespace dcl::decoders
