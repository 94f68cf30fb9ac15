#include "data/decode.h"

#include <algorithm>
#include <string_view>

#include "core/error.h"
#include "data/decoders.h"
#include "data/decoders_config.h"

namespace dcl {
namespace {

using Bytes = std::span<const uint8_t>;

struct Decoder {
  ImageSize (*size)(Bytes) = nullptr;
  void (*decode)(Bytes, ImageSize, uint8_t*) = nullptr;
  std::string (*version)() = nullptr;
};

// DCL_STB_ONLY: the tests build this file a second time, to run the fallback where the libraries are present.
#if defined(DCL_HAVE_LIBJPEG) && !defined(DCL_STB_ONLY)
constexpr Decoder kJpeg{decoders::libjpeg_size, decoders::libjpeg_decode, decoders::libjpeg_version};
#elif defined(DCL_STB_IMAGE_HEADER)
constexpr Decoder kJpeg{decoders::stb_size, decoders::stb_decode, decoders::stb_version};
#else
constexpr Decoder kJpeg{};
#endif

#if defined(DCL_HAVE_LIBPNG) && !defined(DCL_STB_ONLY)
constexpr Decoder kPng{decoders::libpng_size, decoders::libpng_decode, decoders::libpng_version};
#elif defined(DCL_STB_IMAGE_HEADER)
constexpr Decoder kPng{decoders::stb_size, decoders::stb_decode, decoders::stb_version};
#else
constexpr Decoder kPng{};
#endif

constexpr Decoder kPnm{decoders::pnm_size, decoders::pnm_decode, nullptr};

bool starts_with(Bytes file, std::string_view magic) {
  return file.size() >= magic.size() && std::equal(magic.begin(), magic.end(), file.begin(),
                                                   [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; });
}

[[noreturn]] void refuse(Bytes file) {
  using namespace std::string_view_literals;
  struct Known {
    std::string_view magic, what;
  };
  static constexpr Known kKnown[] = {
      {"GIF8"sv, "a GIF file"},           {"BM"sv, "a BMP file"},
      {"RIFF"sv, "a WebP file"},          {"II*\0"sv, "a TIFF file"},
      {"MM\0*"sv, "a TIFF file"},         {"version https://git-lfs"sv, "a Git LFS pointer"},
      {"<"sv, "a HTML or XML text file"},
  };
  if (file.empty()) fail(ErrorKind::data, "the file is empty");
  for (const Known& known : kKnown) {
    if (starts_with(file, known.magic)) {
      fail(ErrorKind::data, "it is " + std::string(known.what) + "; JPEG, PNG and PNM (PBM, PGM, PPM) are read");
    }
  }
  fail(ErrorKind::data, "it is no JPEG, PNG or PNM (PBM, PGM, PPM) file");
}

bool is_png(Bytes file) { return starts_with(file, "\x89PNG\r\n\x1A\n"); }

const Decoder& decoder_of(Bytes file) {
  const bool jpeg = starts_with(file, "\xFF\xD8\xFF");
  if (decoders::is_pnm(file)) return kPnm;
  if (!jpeg && !is_png(file)) refuse(file);
  const Decoder& decoder = jpeg ? kJpeg : kPng;
  if (decoder.decode == nullptr) {
    fail(ErrorKind::data,
         std::string(jpeg ? "JPEG" : "PNG") + " files cannot be read: built without a decoder for them");
  }
  return decoder;
}

std::string version_of(const Decoder& decoder) { return decoder.version != nullptr ? decoder.version() : "none"; }

}  // namespace

ImageSize image_size(Bytes file) {
  const ImageSize size = decoder_of(file).size(file);
  const std::string extent = std::to_string(size.width) + "x" + std::to_string(size.height);
  if (size.width < 1 || size.height < 1) fail(ErrorKind::data, "the header gives an empty image (" + extent + ")");
  if (size.width > kMaxImageSide || size.height > kMaxImageSide ||
      int64_t{size.width} * size.height > kMaxImagePixels) {
    fail(ErrorKind::data, "the header gives " + extent + " pixels; the limits are " + std::to_string(kMaxImageSide) +
                              " a side and " + std::to_string(kMaxImagePixels) + " in all");
  }
  return size;
}

void decode_rgb(Bytes file, ImageSize size, uint8_t* rgb) { decoder_of(file).decode(file, size, rgb); }

bool gray_saturates(Bytes file) {
  if (decoders::is_pnm(file)) return decoders::pnm_gray_saturates(file);
  constexpr size_t kDepth = 24, kColour = 25;  // of the IHDR chunk, which comes first
  return is_png(file) && file.size() > kColour && file[kDepth] == 16 && file[kColour] == 0;
}

std::string jpeg_decoder() { return version_of(kJpeg); }
std::string png_decoder() { return version_of(kPng); }

}  // namespace dcl
