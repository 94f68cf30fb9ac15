#include "data/jpeg_check.h"

#include <numeric>

#include "core/error.h"

namespace dcl::decoders {
namespace {

using Bytes = std::span<const uint8_t>;

[[noreturn]] void refuse(const char* what) { fail(ErrorKind::data, what); }

class JpegWalk {
 public:
  explicit JpegWalk(Bytes file) : file_(file) {}

  void run() {
    at_ = 2;  // behind the start marker
    for (;;) {
      const uint8_t marker = next_marker();
      if (marker == kEnd) return;
      const Bytes segment = take_segment();
      switch (marker) {
        case kHuffman:
          define_huffman(segment);
          break;
        case kQuantisation:
          define_quantisation(segment);
          break;
        case kScan:
          check_scan(segment);
          skip_entropy_data();
          break;
        case kBaseline:
        case kExtended:
        case kProgressive:
          read_frame(segment, marker == kProgressive);
          break;
        default:
          break;
      }
    }
  }

 private:
  enum Marker : uint8_t {
    kBaseline = 0xC0,
    kExtended = 0xC1,
    kProgressive = 0xC2,
    kHuffman = 0xC4,
    kEnd = 0xD9,
    kScan = 0xDA,
    kQuantisation = 0xDB,
  };

  uint8_t byte(size_t at) const {
    if (at >= file_.size()) refuse("the JPEG data are truncated");
    return file_[at];
  }

  uint8_t next_marker() {
    if (byte(at_) != 0xFF) refuse("the JPEG segments are damaged");
    while (byte(at_) == 0xFF) ++at_;
    return byte(at_++);
  }

  /// The contents behind the two bytes of length.
  Bytes take_segment() {
    const size_t length = static_cast<size_t>(byte(at_)) << 8 | byte(at_ + 1);
    if (length < 2) refuse("the JPEG segments are damaged");
    if (file_.size() - at_ < length) refuse("the JPEG data are truncated");
    const Bytes segment = file_.subspan(at_ + 2, length - 2);
    at_ += length;
    return segment;
  }

  /// A marker follows 0xFF; stuffed zeros and restart markers belong to the data.
  void skip_entropy_data() {
    for (;; ++at_) {
      if (byte(at_) != 0xFF) continue;
      const uint8_t next = byte(at_ + 1);
      if (next != 0 && next != 0xFF && (next < 0xD0 || next > 0xD7)) return;
    }
  }

  void define_huffman(Bytes s) {
    while (!s.empty()) {
      if (s.size() < 17) refuse("a JPEG Huffman table is damaged");
      const Bytes counts = s.subspan(1, 16);
      const size_t codes = std::accumulate(counts.begin(), counts.end(), size_t{0});
      if (codes > 256 || s.size() < 17 + codes || (s[0] & 15) > 3 || s[0] >> 4 > 1) {
        refuse("a JPEG Huffman table is damaged");
      }
      (s[0] >> 4 != 0 ? ac_ : dc_) |= 1u << (s[0] & 15);
      s = s.subspan(17 + codes);
    }
  }

  void define_quantisation(Bytes s) {
    while (!s.empty()) {
      const size_t bytes = s[0] >> 4 != 0 ? 129 : 65;
      if (s.size() < bytes || (s[0] & 15) > 3) refuse("a JPEG quantisation table is damaged");
      quantisation_ |= 1u << (s[0] & 15);
      s = s.subspan(bytes);
    }
  }

  void read_frame(Bytes s, bool progressive) {
    if (s.size() < 6 || s.size() != 6 + 3 * size_t{s[5]}) refuse("the JPEG frame header is damaged");
    progressive_ = progressive;
    for (size_t i = 8; i < s.size(); i += 3) used_quantisation_ |= 1u << (s[i] & 31);
  }

  void check_scan(Bytes s) {
    if (s.empty() || s.size() != 4 + 2 * size_t{s[0]}) refuse("a JPEG scan header is damaged");
    const size_t tail = s.size() - 3;
    const bool needs_dc = !progressive_ || (s[tail] == 0 && s[tail + 2] >> 4 == 0);
    const bool needs_ac = !progressive_ || s[tail] != 0;
    for (size_t i = 2; i < tail; i += 2) {
      const bool dc = dc_ >> (s[i] >> 4) & 1, ac = ac_ >> (s[i] & 15) & 1;
      if ((needs_dc && !dc) || (needs_ac && !ac)) refuse("a JPEG scan uses a Huffman table that is not defined");
    }
    if ((used_quantisation_ & ~quantisation_) != 0) refuse("a JPEG scan uses a quantisation table that is not defined");
  }

  Bytes file_;
  size_t at_ = 0;
  bool progressive_ = false;
  uint32_t dc_ = 0, ac_ = 0, quantisation_ = 0, used_quantisation_ = 0;  ///< bit n: table n
};

}  // namespace

void check_jpeg(Bytes file) { JpegWalk(file).run(); }

}  // namespace dcl::decoders
