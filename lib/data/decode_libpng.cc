// PNG through libpng. libpng reports errors by longjmp: between setjmp and a library call nothing with a destructor may
// live, so the functions that call the library hold plain data only.
#include <png.h>

#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>

#include "core/error.h"
#include "data/decoders.h"

namespace dcl::decoders {
namespace {

constexpr png_alloc_size_t kMaxChunkBytes = 8u << 20;
constexpr png_uint_32 kMaxCachedChunks = 128;

struct Reader {
  const uint8_t* data;
  size_t bytes;
  png_structp png;
  png_infop info;
  char message[160];
};

[[noreturn]] void on_error(png_structp png, png_const_charp text) {
  auto& reader = *static_cast<Reader*>(png_get_error_ptr(png));
  std::snprintf(reader.message, sizeof reader.message, "%s", text);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep out, size_t count) {
  auto& reader = *static_cast<Reader*>(png_get_io_ptr(png));
  if (count > reader.bytes) png_error(png, "the PNG data are truncated");
  std::memcpy(out, reader.data, count);
  reader.data += count;
  reader.bytes -= count;
}

/// The caller has set the jump target, and judges the extent.
void read_header(Reader& reader) {
  png_set_user_limits(reader.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_chunk_malloc_max(reader.png, kMaxChunkBytes);
  png_set_chunk_cache_max(reader.png, kMaxCachedChunks);
  png_set_read_fn(reader.png, &reader, read_bytes);
  png_read_info(reader.png, reader.info);
}

bool read_size(Reader& reader, ImageSize* size) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  read_header(reader);
  size->height = static_cast<int32_t>(png_get_image_height(reader.png, reader.info));
  size->width = static_cast<int32_t>(png_get_image_width(reader.png, reader.info));
  return true;
}

/// 16-bit samples (big-endian, two bytes a pixel at the start of the row) to RGB in place. As Pillow's I;16 to RGB:
/// values above 255 saturate.
void widen_gray16(uint8_t* row, int32_t width) {
  for (int32_t x = width; x-- > 0;) {
    const uint8_t value = row[2 * x] != 0 ? 255 : row[2 * x + 1];
    std::memset(row + 3 * static_cast<size_t>(x), value, 3);
  }
}

bool read_pixels(Reader& reader, ImageSize size, uint8_t* rgb) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  read_header(reader);
  if (static_cast<int64_t>(png_get_image_height(reader.png, reader.info)) != size.height ||
      static_cast<int64_t>(png_get_image_width(reader.png, reader.info)) != size.width) {
    png_error(reader.png, "the file changed while it was read");
  }
  const bool gray16 = png_get_color_type(reader.png, reader.info) == PNG_COLOR_TYPE_GRAY &&
                      png_get_bit_depth(reader.png, reader.info) == 16;
  png_set_palette_to_rgb(reader.png);
  png_set_strip_alpha(reader.png);
  if (!gray16) {
    png_set_strip_16(reader.png);
    png_set_expand_gray_1_2_4_to_8(reader.png);
    png_set_gray_to_rgb(reader.png);
  }
  const int passes = png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
  const size_t stride = static_cast<size_t>(size.width) * 3;
  if (png_get_rowbytes(reader.png, reader.info) > stride) png_error(reader.png, "unknown PNG sample format");
  for (int pass = 0; pass < passes; ++pass) {
    for (int32_t y = 0; y < size.height; ++y) png_read_row(reader.png, rgb + static_cast<size_t>(y) * stride, nullptr);
  }
  if (gray16) {
    for (int32_t y = 0; y < size.height; ++y) widen_gray16(rgb + static_cast<size_t>(y) * stride, size.width);
  }
  return true;
}

template <class Read>
void with_reader(std::span<const uint8_t> file, Read read) {
  Reader reader{file.data(), file.size(), nullptr, nullptr, "libpng cannot start"};
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
  if (reader.png != nullptr) reader.info = png_create_info_struct(reader.png);
  const bool done = reader.info != nullptr && read(reader);
  png_destroy_read_struct(&reader.png, &reader.info, nullptr);
  if (!done) fail(ErrorKind::data, reader.message);
}

}  // namespace

ImageSize libpng_size(std::span<const uint8_t> file) {
  ImageSize size;
  with_reader(file, [&](Reader& reader) { return read_size(reader, &size); });
  return size;
}

void libpng_decode(std::span<const uint8_t> file, ImageSize size, uint8_t* rgb) {
  with_reader(file, [&](Reader& reader) { return read_pixels(reader, size, rgb); });
}

std::string libpng_version() { return std::string("libpng ") + png_get_libpng_ver(nullptr); }

}  // namespace dcl::decoders
