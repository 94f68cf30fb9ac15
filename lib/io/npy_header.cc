#include "io/npy_header.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/file.h"
#include "io/file.h"
#include "io/tensor_limits.h"

namespace dcl {
namespace {

struct Fields {
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<int64_t>> shape;
};

/// Reads the dictionary literal; keys may come in any order and with any spacing.
class LiteralReader {
 public:
  LiteralReader(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  Fields read() {
    Fields fields;
    expect('{');
    while (!accept('}')) {
      read_entry(fields);
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (at_ != text_.size()) fail_here("text after the dictionary");
    if (!fields.descr || !fields.fortran_order || !fields.shape) fail_here("descr, fortran_order and shape are needed");
    return fields;
  }

 private:
  [[noreturn]] void fail_here(const std::string& what) const {
    fail(ErrorKind::data, dcl::quoted(path_) + ": its NumPy header is not valid: " + what);
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
  }
  bool accept(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail_here(std::string("expected ") + c + " at byte " + std::to_string(at_));
  }
  bool accept_word(std::string_view word) {
    skip_space();
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  template <class T>
  void set(std::optional<T>& field, T value) {
    if (field) fail_here("a key stands twice");
    field = std::move(value);
  }

  void read_entry(Fields& fields) {
    const std::string key = read_string();
    expect(':');
    if (key == "descr")
      set(fields.descr, read_string());
    else if (key == "fortran_order")
      set(fields.fortran_order, read_bool());
    else if (key == "shape")
      set(fields.shape, read_tuple());
    else
      fail_here("unknown key");
  }

  std::string read_string() {
    skip_space();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"')
      fail_here("expected a string at byte " + std::to_string(at_) + " (structured types are not supported)");
    const size_t end = text_.find(quote, at_ + 1);
    if (end == text_.npos) fail_here("a string does not end");
    std::string out(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return out;
  }

  bool read_bool() {
    if (accept_word("True")) return true;
    if (accept_word("False")) return false;
    fail_here("fortran_order is neither True nor False");
  }

  std::vector<int64_t> read_tuple() {
    std::vector<int64_t> extents;
    expect('(');
    while (!accept(')')) {
      extents.push_back(read_extent());
      if (!accept(',')) {
        if (extents.size() == 1) fail_here("shape is no tuple");
        expect(')');
        break;
      }
    }
    return extents;
  }

  int64_t read_extent() {
    skip_space();
    int64_t value = -1;
    const char* begin = text_.data() + at_;
    const auto [end, status] = std::from_chars(begin, text_.data() + text_.size(), value);
    if (status != std::errc() || value < 0) fail_here("shape needs non-negative integers");
    at_ += static_cast<size_t>(end - begin);
    accept('L');  // of Python 2
    return value;
  }

  std::string_view text_;
  const std::string& path_;
  size_t at_ = 0;
};

constexpr std::pair<std::string_view, FileDType> kTypes[] = {
    {"f4", FileDType::f32}, {"f8", FileDType::f64}, {"f2", FileDType::f16},
    {"i8", FileDType::i64}, {"i4", FileDType::i32}, {"i2", FileDType::i16},
    {"u1", FileDType::u8},  {"i1", FileDType::i8},  {"b1", FileDType::boolean},
};

void set_type(NpyHeader& header, const std::string& descr, const std::string& path) {
  const std::string_view order = std::string_view(descr).substr(0, 1);
  for (const auto& [name, type] : kTypes)
    if (descr.size() == 3 && name == std::string_view(descr).substr(1) &&
        (order == "<" || order == ">" || order == "=" || (order == "|" && size_of(type) == 1))) {
      header.type = type;
      header.big_endian = order == ">";
      return;
    }
  fail(ErrorKind::data, dcl::quoted(path) + ": unsupported element type " + dcl::quoted(descr.substr(0, 32)) +
                            ", expected f2, f4, f8, i1, i2, i4, i8, u1 or b1");
}

std::string descr_of(FileDType type) {
  for (const auto& [name, known] : kTypes)
    if (known == type) return (size_of(type) == 1 ? "|" : "<") + std::string(name);
  fail(ErrorKind::internal, "NumPy has no type " + std::string(name_of(type)));
}

}  // namespace

NpyHeader read_npy_header(const std::string& path, uint64_t size, std::span<const std::byte> start) {
  const auto fail_data = [&](const std::string& what) { fail(ErrorKind::data, dcl::quoted(path) + ": " + what); };
  const auto byte = [&](size_t at) { return std::to_integer<uint64_t>(start[at]); };
  if (size < kLongNpyPrefixBytes) fail_data("it is no NumPy file or truncated (" + bytes_text(size) + ")");
  if (std::memcmp(start.data(), "\x93NUMPY", 6) != 0) fail_data("it is no NumPy file");
  const uint64_t major = byte(6);
  if (major < 1 || major > 3 || byte(7) != 0)
    fail_data("it has NumPy format version " + std::to_string(major) + "." + std::to_string(byte(7)) +
              ", expected 1.0, 2.0 or 3.0");
  uint64_t length = byte(8) | byte(9) << 8;
  if (major > 1) length |= byte(10) << 16 | byte(11) << 24;
  const uint64_t prefix = major > 1 ? kLongNpyPrefixBytes : kNpyPrefixBytes;
  if (length > kMaxNpyHeaderBytes)
    fail_data("its NumPy header has " + std::to_string(length) + " bytes, expected at most 10000");
  if (length > size - prefix) fail_data("it is truncated within its NumPy header");
  const std::string_view text(reinterpret_cast<const char*>(start.data()) + prefix, static_cast<size_t>(length));

  const Fields fields = LiteralReader(text, path).read();
  NpyHeader header;
  set_type(header, *fields.descr, path);
  header.shape = *fields.shape;
  header.fortran_order = *fields.fortran_order;
  header.data_start = prefix + length;
  if (header.shape.size() > kMaxRank)
    fail_data("it has " + std::to_string(header.shape.size()) + " axes, expected at most " + std::to_string(kMaxRank));
  const std::optional<uint64_t> bytes = bytes_of_shape(header.type, header.shape);
  if (!bytes) fail_data("its shape overflows");
  const uint64_t held = size - header.data_start;
  if (*bytes != held)
    fail_data("shape " + shape_text(header.shape) + " needs " + std::to_string(*bytes) +
              " bytes of data, the file has " + std::to_string(held));
  return header;
}

std::string npy_preamble(FileDType type, std::span<const int64_t> shape, size_t least) {
  std::string text = "{'descr': '" + descr_of(type) + "', 'fortran_order': False, 'shape': (";
  for (const int64_t extent : shape) text += std::to_string(extent) + ", ";
  if (!shape.empty()) text.resize(text.size() - (shape.size() == 1 ? 1 : 2));
  text += "), }";
  const size_t total = (std::max(least, kNpyPrefixBytes + text.size() + 1) + 63) / 64 * 64;
  const size_t length = total - kNpyPrefixBytes;
  text.append(length - 1 - text.size(), ' ');
  std::string out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(length & 255);
  out += static_cast<char>(length >> 8);
  return out + text + '\n';
}

}  // namespace dcl
