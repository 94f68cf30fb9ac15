// Portable anymaps (PBM, PGM and PPM, each as text or raw): no library is needed. Samples are scaled to 8 bits; gray of
// more than 8 bits is scaled to 16 and saturates at 255, as in Pillow.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "data/decoders.h"

namespace dcl::decoders {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr int kMaxDigits = 10;
constexpr int64_t kMaxSample = 65535;

bool is_space(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

[[noreturn]] void fail_truncated() { fail(ErrorKind::data, "the PNM data are truncated"); }

/// Numbers in text, between blanks and comments, of which a blank is taken after each.
class Text {
 public:
  Text(Bytes file, size_t start) : file_(file), at_(start) {}

  int64_t number() {
    int64_t value = 0;
    int digits = 0;
    for (int c = next(); c >= 0; c = next()) {
      if (is_space(static_cast<uint8_t>(c))) {
        if (digits > 0) break;
        continue;
      }
      if (c < '0' || c > '9' || ++digits > kMaxDigits)
        fail(ErrorKind::data, "the PNM file has something that is no number before byte " + std::to_string(at_));
      value = value * 10 + (c - '0');
    }
    if (digits == 0) fail_truncated();
    return value;
  }

  /// 0 or 1; blanks between them may be missing.
  bool bit() {
    for (int c = next(); c >= 0; c = next()) {
      if (c == '0' || c == '1') return c == '1';
      if (!is_space(static_cast<uint8_t>(c)))
        fail(ErrorKind::data, "the PNM file has something other than 0 and 1 before byte " + std::to_string(at_));
    }
    fail_truncated();
  }

  size_t position() const { return at_; }

 private:
  /// The next character outside of comments, -1 at the end.
  int next() {
    while (at_ < file_.size()) {
      const uint8_t c = file_[at_++];
      if (c != '#') return c;
      while (at_ < file_.size() && file_[at_] != '\n' && file_[at_] != '\r') ++at_;
      if (at_ < file_.size()) ++at_;
    }
    return -1;
  }

  Bytes file_;
  size_t at_;
};

struct Header {
  bool raw = false, bitmap = false;
  int64_t channels = 1, width = 0, height = 0, largest = 1;  ///< largest: the sample that is white
  size_t data = 0;

  int64_t samples() const { return width * height * channels; }
  int64_t sample_bytes() const { return largest > 255 ? 2 : 1; }
  bool wide_gray() const { return channels == 1 && largest > 255; }
  int64_t raw_bytes() const { return bitmap ? (width + 7) / 8 * height : samples() * sample_bytes(); }
};

/// P1 to P3 are text, P4 to P6 the same raw: bitmap, gray, RGB.
Header read_header(Bytes file) {
  const int kind = file[1] - '0';
  Header header;
  header.raw = kind > 3;
  header.bitmap = kind % 3 == 1;
  header.channels = kind % 3 == 0 ? 3 : 1;
  Text text(file, 2);
  header.width = text.number();
  header.height = text.number();
  if (!header.bitmap) header.largest = text.number();
  if (header.largest < 1 || header.largest > kMaxSample)
    fail(ErrorKind::data, "the PNM header gives " + std::to_string(header.largest) +
                              " for the largest sample, expected 1 to " + std::to_string(kMaxSample));
  header.data = text.position();
  return header;
}

/// What each sample becomes. Invariant: as long as there are values of a raw sample.
std::vector<uint8_t> scale_of(const Header& header) {
  const double white = header.wide_gray() ? kMaxSample : 255;
  std::vector<uint8_t> scale(size_t{1} << 8 * header.sample_bytes());
  for (size_t i = 0; i < scale.size(); ++i)
    scale[i] = static_cast<uint8_t>(
        std::min(255.0, std::nearbyint(static_cast<double>(i) / static_cast<double>(header.largest) * white)));
  return scale;
}

/// The extent must be within the limits.
void check_length(Bytes file, const Header& header) {
  if (header.raw && static_cast<int64_t>(file.size() - header.data) < header.raw_bytes()) fail_truncated();
}

void put(uint8_t value, int64_t channels, uint8_t*& rgb) {
  for (int64_t i = channels; i <= 3; i += channels) *rgb++ = value;
}

void decode_bitmap(Bytes file, const Header& header, uint8_t* rgb) {
  const int64_t stride = (header.width + 7) / 8;
  Text text(file, header.data);
  for (int64_t y = 0; y < header.height; ++y)
    for (int64_t x = 0; x < header.width; ++x) {
      const bool black =
          header.raw ? file[header.data + static_cast<size_t>(y * stride + x / 8)] >> (7 - x % 8) & 1 : text.bit();
      put(black ? 0 : 255, 1, rgb);
    }
}

void decode_samples(Bytes file, const Header& header, uint8_t* rgb) {
  const std::vector<uint8_t> scale = scale_of(header);
  const uint8_t* raw = file.data() + header.data;
  Text text(file, header.data);
  for (int64_t i = 0; i < header.samples(); ++i) {
    int64_t sample = 0;
    if (!header.raw) {
      sample = text.number();
      if (sample > header.largest)
        fail(ErrorKind::data, "the PNM file has the sample " + std::to_string(sample) + ", its largest is said to be " +
                                  std::to_string(header.largest));
    } else {
      for (int64_t byte = 0; byte < header.sample_bytes(); ++byte) sample = sample << 8 | *raw++;
    }
    put(scale[static_cast<size_t>(sample)], header.channels, rgb);
  }
}

}  // namespace

bool is_pnm(Bytes file) {
  return file.size() > 2 && file[0] == 'P' && file[1] >= '1' && file[1] <= '6' && is_space(file[2]);
}

ImageSize pnm_size(Bytes file) {
  const Header header = read_header(file);
  const auto bounded = [](int64_t side) { return static_cast<int32_t>(std::min<int64_t>(side, kMaxImageSide + 1)); };
  const ImageSize size{bounded(header.height), bounded(header.width)};
  if (size.height <= kMaxImageSide && size.width <= kMaxImageSide) check_length(file, header);
  return size;
}

bool pnm_gray_saturates(Bytes file) { return read_header(file).wide_gray(); }

void pnm_decode(Bytes file, ImageSize size, uint8_t* rgb) {
  const Header header = read_header(file);
  if (header.height != size.height || header.width != size.width)
    fail(ErrorKind::data, "the file changed while it was read");
  check_length(file, header);
  header.bitmap ? decode_bitmap(file, header, rgb) : decode_samples(file, header, rgb);
}

}  // namespace dcl::decoders
