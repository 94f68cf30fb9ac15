// JPEG through libjpeg-turbo (or any libjpeg 6.2 and later) with its defaults, which are Pillow's: accurate integer DCT
// and smooth chroma upsampling. libjpeg reports errors by longjmp: between setjmp and a library call nothing with a
// destructor may live, so the functions that call the library hold plain data only.
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>
// jpeglib.h uses size_t and FILE without including what declares them.
#include <jpeglib.h>

#include "core/error.h"
#include "data/decoders.h"

namespace dcl::decoders {
namespace {

constexpr int kMaxScans = 100;
/// The library keeps all coefficients of a progressive image: of four components where it is CMYK. The rest is for
/// rows.
constexpr long kMaxLibraryMemory = 4 * long{sizeof(JCOEF)} * kMaxImagePixels + (64L << 20);

struct Reader {
  jpeg_decompress_struct info;
  jpeg_error_mgr errors;
  jpeg_source_mgr source;
  jpeg_progress_mgr progress;
  jmp_buf failed;
  char message[JMSG_LENGTH_MAX];
};

Reader& reader_of(j_common_ptr info) { return *static_cast<Reader*>(info->client_data); }

[[noreturn]] void raise(Reader& reader, const char* message) {
  std::snprintf(reader.message, sizeof reader.message, "%s", message);
  longjmp(reader.failed, 1);
}

[[noreturn]] void on_error(j_common_ptr info) {
  Reader& reader = reader_of(info);
  (*info->err->format_message)(info, reader.message);
  longjmp(reader.failed, 1);
}

void on_message(j_common_ptr) {}

void watch_scans(j_common_ptr info) {
  Reader& reader = reader_of(info);
  if (reader.info.input_scan_number > kMaxScans) raise(reader, "more than 100 scans in a progressive JPEG");
}

void source_nothing(j_decompress_ptr) {}

boolean source_refill(j_decompress_ptr info) {
  raise(reader_of(reinterpret_cast<j_common_ptr>(info)), "the JPEG data are truncated");
}

void source_skip(j_decompress_ptr info, long count) {
  if (count <= 0) return;
  if (static_cast<size_t>(count) > info->src->bytes_in_buffer) source_refill(info);
  info->src->next_input_byte += count;
  info->src->bytes_in_buffer -= static_cast<size_t>(count);
}

void open(Reader& reader, const uint8_t* data, size_t bytes) {
  jpeg_create_decompress(&reader.info);
  reader.info.mem->max_memory_to_use = kMaxLibraryMemory;
  reader.source = {};
  reader.source.init_source = source_nothing;
  reader.source.fill_input_buffer = source_refill;
  reader.source.skip_input_data = source_skip;
  reader.source.resync_to_restart = jpeg_resync_to_restart;
  reader.source.term_source = source_nothing;
  reader.source.next_input_byte = data;
  reader.source.bytes_in_buffer = bytes;
  reader.info.src = &reader.source;
  reader.progress = {};
  reader.progress.progress_monitor = watch_scans;
  reader.info.progress = &reader.progress;
  jpeg_read_header(&reader.info, TRUE);
}

void install_errors(Reader& reader) {
  reader.info = {};
  reader.info.err = jpeg_std_error(&reader.errors);
  reader.errors.error_exit = on_error;
  reader.errors.output_message = on_message;
  reader.info.client_data = &reader;
  reader.message[0] = 0;
}

bool read_size(Reader& reader, const uint8_t* data, size_t bytes, ImageSize* size) {
  if (setjmp(reader.failed) != 0) return false;
  open(reader, data, bytes);
  // 65500 at most by the format: fits.
  size->height = static_cast<int32_t>(reader.info.image_height);
  size->width = static_cast<int32_t>(reader.info.image_width);
  return true;
}

/// a * b / 255, rounded, as Pillow's MULDIV255.
int multiply_255(int a, int b) {
  const int product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

/// Pillow takes every CMYK JPEG as Adobe's, that is inverted, and converts without a colour profile.
void cmyk_to_rgb(const uint8_t* cmyk, uint8_t* rgb, int32_t width) {
  for (int32_t x = 0; x < width; ++x, cmyk += 4, rgb += 3) {
    const int light = cmyk[3];
    for (int c = 0; c < 3; ++c) {
      const int value = light - multiply_255(255 - cmyk[c], light);
      rgb[c] = static_cast<uint8_t>(value < 0 ? 0 : value);
    }
  }
}

bool read_pixels(Reader& reader, const uint8_t* data, size_t bytes, ImageSize size, uint8_t* rgb) {
  if (setjmp(reader.failed) != 0) return false;
  open(reader, data, bytes);
  jpeg_decompress_struct& info = reader.info;
  if (static_cast<int64_t>(info.image_height) != size.height || static_cast<int64_t>(info.image_width) != size.width) {
    raise(reader, "the file changed while it was read");
  }
  const bool cmyk = info.num_components == 4;
  info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&info);
  const size_t stride = static_cast<size_t>(size.width) * 3;
  JSAMPARRAY line = nullptr;
  if (cmyk) {
    line = (*info.mem->alloc_sarray)(reinterpret_cast<j_common_ptr>(&info), JPOOL_IMAGE,
                                     static_cast<JDIMENSION>(size.width) * 4, 1);
  }
  while (info.output_scanline < info.output_height) {
    uint8_t* out = rgb + info.output_scanline * stride;
    JSAMPROW row = cmyk ? line[0] : out;
    if (jpeg_read_scanlines(&info, &row, 1) != 1) raise(reader, "the JPEG data are truncated");
    if (cmyk) cmyk_to_rgb(row, out, size.width);
  }
  return true;
}

}  // namespace

ImageSize libjpeg_size(std::span<const uint8_t> file) {
  Reader reader;
  install_errors(reader);
  ImageSize size;
  const bool read = read_size(reader, file.data(), file.size(), &size);
  jpeg_destroy_decompress(&reader.info);
  if (!read) fail(ErrorKind::data, reader.message);
  return size;
}

void libjpeg_decode(std::span<const uint8_t> file, ImageSize size, uint8_t* rgb) {
  Reader reader;
  install_errors(reader);
  const bool read = read_pixels(reader, file.data(), file.size(), size, rgb);
  jpeg_destroy_decompress(&reader.info);
  if (!read) fail(ErrorKind::data, reader.message);
}

std::string libjpeg_version() {
#define DCL_TEXT_OF(x) #x
#define DCL_TEXT(x) DCL_TEXT_OF(x)
#ifdef LIBJPEG_TURBO_VERSION
  return "libjpeg-turbo " DCL_TEXT(LIBJPEG_TURBO_VERSION);
#else
  return "libjpeg " DCL_TEXT(JPEG_LIB_VERSION);
#endif
}

}  // namespace dcl::decoders
