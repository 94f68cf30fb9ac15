// Image decoding: every PNG sample format against values worked out by hand, JPEG, and the refusal of what is not an
// image.
#include "data/decode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>

#include "core/error.h"
#include "math/philox.h"
#include "support/image_fixtures.h"

namespace dcl {
namespace {

using test::Bytes;
using test::make_png;
using test::PngFormat;

Bytes decode(const Bytes& file) {
  const ImageSize size = image_size(file);
  Bytes rgb(static_cast<size_t>(size.height) * static_cast<size_t>(size.width) * 3);
  decode_rgb(file, size, rgb.data());
  return rgb;
}

std::string refusal(const Bytes& file) {
  try {
    decode(file);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
    return error.what();
  }
  return "";
}

TEST(DecodePng, Rgb8) {
  const Bytes pixels = {1, 2, 3, 4, 5, 6, 250, 251, 252, 253, 254, 255};
  const Bytes file = make_png(2, 2, pixels);
  EXPECT_EQ(image_size(file), (ImageSize{2, 2}));
  EXPECT_EQ(decode(file), pixels);
}

TEST(DecodePng, ExtentIsHeightThenWidth) { EXPECT_EQ(image_size(make_png(3, 1, Bytes(9))), (ImageSize{1, 3})); }

TEST(DecodePng, Gray1To8BitsSpreadOverTheRange) {
  EXPECT_EQ(decode(make_png(PngFormat{.width = 2, .depth = 1, .colour_type = 0}, {0, 0x40})),
            (Bytes{0, 0, 0, 255, 255, 255}));
  EXPECT_EQ(decode(make_png(PngFormat{.width = 4, .depth = 2, .colour_type = 0}, {0, 0x1B})),
            (Bytes{0, 0, 0, 85, 85, 85, 170, 170, 170, 255, 255, 255}));
  EXPECT_EQ(decode(make_png(PngFormat{.width = 2, .depth = 4, .colour_type = 0}, {0, 0x3F})),
            (Bytes{51, 51, 51, 255, 255, 255}));
  EXPECT_EQ(decode(make_png(PngFormat{.depth = 8, .colour_type = 0}, {0, 77})), (Bytes{77, 77, 77}));
}

TEST(DecodePng, Gray16SaturatesAsPillow) {
  const Bytes row = {0, 0x00, 0x07, 0x00, 0xFF, 0x01, 0x00, 0x12, 0x34};
  const Bytes expected = {7, 7, 7, 255, 255, 255, 255, 255, 255, 255, 255, 255};
  EXPECT_EQ(decode(make_png(PngFormat{.width = 4, .depth = 16, .colour_type = 0}, row)), expected);
}

TEST(DecodePng, SixteenBitColourKeepsTheHighByte) {
  EXPECT_EQ(decode(make_png(PngFormat{.depth = 16, .colour_type = 2}, {0, 0x12, 0xFF, 0x34, 0x80, 0x56, 0x00})),
            (Bytes{0x12, 0x34, 0x56}));
}

TEST(DecodePng, AlphaIsDropped) {
  EXPECT_EQ(decode(make_png(PngFormat{.colour_type = 6}, {0, 9, 8, 7, 0})), (Bytes{9, 8, 7}));
  EXPECT_EQ(decode(make_png(PngFormat{.colour_type = 4}, {0, 9, 128})), (Bytes{9, 9, 9}));
  EXPECT_EQ(decode(make_png(PngFormat{.colour_type = 2, .transparency = {0, 9, 0, 8, 0, 7}}, {0, 9, 8, 7})),
            (Bytes{9, 8, 7}));
}

TEST(DecodePng, Palette) {
  const Bytes palette = {10, 20, 30, 40, 50, 60, 70, 80, 90};
  const Bytes expected = {70, 80, 90, 10, 20, 30};
  EXPECT_EQ(decode(make_png(PngFormat{.width = 2, .depth = 8, .colour_type = 3, .palette = palette}, {0, 2, 0})),
            expected);
  EXPECT_EQ(decode(make_png(PngFormat{.width = 2, .depth = 2, .colour_type = 3, .palette = palette}, {0, 0x80})),
            expected);
  const PngFormat transparent{.width = 2, .colour_type = 3, .palette = palette, .transparency = {0, 128, 255}};
  EXPECT_EQ(decode(make_png(transparent, {0, 2, 0})), expected);
}

TEST(DecodePng, Interlaced) {
  // 2 x 2 has passes 1 (pixel 0), 6 (pixel 1) and 7 (row 1).
  const Bytes passes = {0, 1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 10, 11, 12};
  EXPECT_EQ(decode(make_png(PngFormat{.width = 2, .height = 2, .interlaced = true}, passes)),
            (Bytes{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
}

TEST(DecodeJpeg, ColoursAndExtent) {
  const Bytes file = test::small_jpeg();
  ASSERT_EQ(image_size(file), (ImageSize{8, 16}));
  const Bytes rgb = decode(file);
  const int left[3] = {199, 60, 29}, right[3] = {20, 90, 220};  // as libjpeg decodes it
  const int tolerance = jpeg_decoder() == "stb_image" ? 2 : 0;
  for (size_t pixel = 0; pixel < 16 * 8; ++pixel) {
    for (size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(rgb[3 * pixel + c], pixel % 16 < 8 ? left[c] : right[c], tolerance) << pixel;
    }
  }
}

Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

TEST(DecodePnm, RawAndTextOfEveryKind) {
  const Bytes bits = {255, 255, 255, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(decode(bytes_of("P4\n3 1\n\x60")), bits);  // 1 is black; a row begins with a new byte
  EXPECT_EQ(decode(bytes_of("P1 3 1 0 11")), bits);
  const Bytes gray = {0, 0, 0, 65, 65, 65}, colour = {65, 66, 67, 32, 9, 255};
  EXPECT_EQ(decode(bytes_of({"P5\n1 2\n255\n\0A", 13})), gray);
  EXPECT_EQ(decode(bytes_of("P2 1 2 255\n0 65")), gray);
  EXPECT_EQ(decode(bytes_of("P6 2 1 255\nABC \t\xFF")), colour);
  EXPECT_EQ(decode(bytes_of("P3\t2\r\n1\n255 65 66 67 32 9 255\n")), colour);
  EXPECT_EQ(image_size(bytes_of("P5 3 2 255\n123456 and more")), (ImageSize{2, 3}));
}

TEST(DecodePnm, SamplesAreScaledAsPillowScalesThem) {
  EXPECT_EQ(decode(bytes_of({"P5 4 1 3\n\0\1\2\7", 13})), (Bytes{0, 0, 0, 85, 85, 85, 170, 170, 170, 255, 255, 255}));
  EXPECT_EQ(decode(bytes_of("P3 1 1 2 1 2 0")), (Bytes{128, 255, 0}));                   // 127.5 to the even one
  EXPECT_EQ(decode(bytes_of({"P6 1 1 1020\n\0\2\0\6\3\xFC", 18})), (Bytes{0, 2, 255}));  // 0.5, 1.5
  EXPECT_EQ(decode(bytes_of({"P5 2 1 65535\n\0\7\1\0", 17})), (Bytes{7, 7, 7, 255, 255, 255}));
  EXPECT_EQ(decode(bytes_of("P2 2 1 256 0 1")), (Bytes{0, 0, 0, 255, 255, 255}));  // scaled to 16 bits, then saturated
}

TEST(Decode, GrayOf16BitsIsKnownByItsHeader) {
  for (const int depth : {1, 8, 16})
    for (const int colour : {0, 2, 4}) {
      if (depth == 1 && colour != 0) continue;
      const Bytes row(1 + 8, 0);
      EXPECT_EQ(gray_saturates(make_png({.depth = depth, .colour_type = colour}, row)), depth == 16 && colour == 0);
    }
  EXPECT_TRUE(gray_saturates(bytes_of({"P5 1 1 256\n\0\1", 13})));
  EXPECT_FALSE(gray_saturates(bytes_of("P5 1 1 255\nA")));
  EXPECT_FALSE(gray_saturates(bytes_of("P3 1 1 256 1 2 3")));
  EXPECT_FALSE(gray_saturates(test::small_jpeg()));
}

TEST(DecodePnm, CommentsMayStandInTheHeaderAndInText) {
  EXPECT_EQ(decode(bytes_of("P5 # gray\n1 # wide\r1 #high\n255\n#")), (Bytes{35, 35, 35}));
  EXPECT_EQ(decode(bytes_of("P2 1 1 255 # 7\n 9")), (Bytes{9, 9, 9}));
}

TEST(DecodePnm, Refusals) {
  const auto of = [](std::string_view text) { return refusal(bytes_of(text)); };
  for (const char* cut : {"P6 ", "P6 1", "P6 1 1", "P6 2 1 255", "P6 2 1 255\n12345", "P5 1 1 256\nx", "P4 9 1\nx",
                          "P3 1 1 255 1 2", "P1 3 1 01", "P2 1 1 255 #9"})
    EXPECT_NE(of(cut).find("truncated"), std::string::npos) << cut << ": " << of(cut);
  EXPECT_NE(of("P5 1 1 0\nx").find("expected 1 to 65535"), std::string::npos);
  EXPECT_NE(of("P5 1 1 65536\nxx").find("expected 1 to 65535"), std::string::npos);
  EXPECT_NE(of("P5 -1 1 255\nx").find("no number"), std::string::npos);
  EXPECT_NE(of("P5 12345678901 1 255\nx").find("no number"), std::string::npos);
  EXPECT_NE(of("P2 1 1 9 10").find("largest"), std::string::npos);
  EXPECT_NE(of("P1 1 1 2").find("0 and 1"), std::string::npos);
  EXPECT_NE(of("P5 9999999999 9999999999 255\n").find("limits"), std::string::npos);
  EXPECT_NE(of("P5 0 1 255\n").find("empty"), std::string::npos);
  EXPECT_NE(of("P7\nWIDTH 1\n").find("PNM"), std::string::npos);
}

#ifdef DCL_STB_ONLY
TEST(DecodeStb, IsWhatRunsHere) {
  EXPECT_EQ(jpeg_decoder(), "stb_image");
  EXPECT_EQ(png_decoder(), "stb_image");
}
#endif

TEST(DecodeLimits, AbsurdExtentsAreRefusedFromTheHeader) {
  const auto png = [](uint32_t width, uint32_t height) {
    return make_png(PngFormat{.width = width, .height = height}, {0});
  };
  // stb_image refuses them in words of its own.
  const auto refused = [](const Bytes& file, const std::string& extent) {
    const std::string words = png_decoder() == "stb_image" ? "Image" : extent + " pixels; the limits are 16384 a side";
    EXPECT_NE(refusal(file).find(words), std::string::npos) << refusal(file);
  };
  refused(png(60000, 60000), "60000x60000");
  refused(png(16385, 1), "16385x1");
  refused(png(100'000'000, 1), "100000000x1");
  EXPECT_NE(refusal(png(16384, 16384)), "");  // 256 Mpixel
  EXPECT_NE(refusal(png(0, 1)), "");
  refused(test::small_jpeg_claiming(60000, 60000), "60000x60000");
  EXPECT_NE(refusal(test::small_jpeg_claiming(16, 0)), "");
  EXPECT_EQ(image_size(png(16384, 4096)), (ImageSize{4096, 16384}));  // the largest allowed
}

/// Its coefficients take more memory than its pixels.
TEST(DecodeLimits, TheLargestProgressiveJpegIsRead) {
  if (!jpeg_decoder().starts_with("libjpeg")) GTEST_SKIP() << "stb_image has no limit of its own";
  Bytes file = test::small_jpeg_claiming(16384, 4096);
  const uint8_t frame[] = {0xFF, 0xC0}, scan[] = {0xFF, 0xDA};
  const auto sof = std::search(file.begin(), file.end(), frame, frame + 2);
  const auto sos = std::search(file.begin(), file.end(), scan, scan + 2);
  ASSERT_NE(sos, file.end());
  sof[1] = 0xC2;                     // progressive
  sos[12] = 0;                       // a scan of the DC coefficients
  file.erase(sos + 14, file.end());  // which breaks off before the first
  EXPECT_EQ(refusal(file), "the JPEG data are truncated");
}

TEST(DecodeRefusal, SaysWhatTheFileIs) {
  const auto of = [](const std::string& text) { return refusal(Bytes(text.begin(), text.end())); };
  EXPECT_EQ(of(""), "the file is empty");
  EXPECT_NE(of("<!DOCTYPE html>").find("HTML"), std::string::npos);
  EXPECT_NE(of("version https://git-lfs.github.com/spec/v1").find("Git LFS"), std::string::npos);
  EXPECT_NE(of("GIF89a").find("GIF"), std::string::npos);
  EXPECT_NE(of("RIFF1234WEBP").find("WebP"), std::string::npos);
  EXPECT_NE(of(std::string("II*\0abc", 7)).find("TIFF"), std::string::npos);
  EXPECT_NE(of("anything"), "");
  EXPECT_NE(of("\xFF\xD8\xFF"), "");
}

TEST(DecodeRefusal, TruncationAtAnyByte) {
  Bytes pixels(24 * 24 * 3);
  RandomStream random(3, RandomPurpose::test);
  for (uint8_t& value : pixels) value = static_cast<uint8_t>(random.next_u32());
  const Bytes png = make_png(24, 24, pixels);
  constexpr size_t kPngEnd = 12 + 4 + 4;  // IEND, the data's check value, and zlib's: all pixels are there before them
  for (size_t length = 0; length + kPngEnd < png.size(); ++length) {
    ASSERT_NE(refusal(Bytes(png.begin(), png.begin() + static_cast<std::ptrdiff_t>(length))), "") << length;
  }
  const Bytes jpeg = test::small_jpeg();
  for (size_t length = 0; length + 2 < jpeg.size(); ++length) {
    ASSERT_NE(refusal(Bytes(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(length))), "") << length;
  }
}

/// stb_image up to 2.27 writes and reads out of bounds for these without the check before it (seen by the sanitizers).
TEST(DecodeRefusal, HuffmanTablesThatAreTooLongOrAbsent) {
  const Bytes good = test::small_jpeg();
  const uint8_t marker[] = {0xFF, 0xC4};
  const auto at = std::search(good.begin(), good.end(), marker, marker + 2) - good.begin();
  ASSERT_LT(at + 20, static_cast<std::ptrdiff_t>(good.size()));
  Bytes long_table = good;
  std::fill_n(long_table.begin() + at + 5, 16, uint8_t{255});  // codes of each length
  EXPECT_NE(refusal(long_table), "");
  Bytes absent = good;
  for (size_t i = 0; i + 1 < absent.size(); ++i) {
    if (absent[i] == 0xFF && absent[i + 1] == 0xC4) absent[i + 1] = 0xFE;  // now a comment
  }
  if (jpeg_decoder() == "stb_image") {
    EXPECT_NE(refusal(absent), "");
  } else {
    decode(absent);  // newer libjpeg-turbo brings the standard tables, as Motion JPEG leaves them out
  }
}

/// stb_image takes memory for what a chunk claims, and inflates without a limit (found by the fuzz target image_stb).
TEST(DecodeRefusal, PngThatClaimsMoreThanItHolds) {
  Bytes claims = make_png(5, 4, Bytes(60, 99));
  const uint8_t type[] = {'I', 'D', 'A', 'T'};
  const auto at = std::search(claims.begin(), claims.end(), type, type + 4);
  ASSERT_NE(at, claims.end());
  std::fill_n(at - 4, 4, uint8_t{0x7F});
  EXPECT_NE(refusal(claims), "");
  const Bytes inflates = make_png(PngFormat{.width = 1, .height = 1}, Bytes(20'000'000));
  if (png_decoder() == "stb_image") {
    EXPECT_EQ(refusal(inflates), "the PNG holds more pixel data than its size allows");
  } else {
    decode(inflates);  // libpng stops where the image ends
  }
}

TEST(DecodeRefusal, RandomDamageNeverEscapes) {
  const Bytes sources[] = {test::small_jpeg(), make_png(5, 4, Bytes(60, 99)),
                           make_png(PngFormat{.width = 2, .height = 2, .interlaced = true}, Bytes(15)),
                           bytes_of("P6 2 1 255\nABCDEF"), bytes_of("P3 2 1 300 1 2 3 # x\n 4 5 6")};
  RandomStream random(4, RandomPurpose::test);
  int decoded = 0, refused = 0;
  for (int round = 0; round < 5000; ++round) {
    Bytes file = sources[round % 5];
    for (uint64_t flips = 1 + random.below(4); flips-- > 0;) {
      file[random.below(file.size())] = static_cast<uint8_t>(random.next_u32());
    }
    try {
      const ImageSize size = image_size(file);
      if (int64_t{size.height} * size.width > 1 << 20) continue;  // allowed, but slow to allocate thousands of times
      Bytes rgb(static_cast<size_t>(size.height) * static_cast<size_t>(size.width) * 3);
      decode_rgb(file, size, rgb.data());
      ++decoded;
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::data);
      ++refused;
    }
  }
  EXPECT_GT(decoded, 100);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace dcl
