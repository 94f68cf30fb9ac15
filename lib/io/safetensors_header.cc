#include "io/safetensors_header.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "core/error.h"
#include "io/file.h"

namespace dcl {
namespace {

[[noreturn]] void fail_header(const std::string& what) { fail(ErrorKind::data, what); }

/// Receives the JSON text event by event, so that duplicates, numbers that are not plain integers and unexpected
/// nesting are seen before anything is built from them. Throws instead of returning false.
class HeaderEvents : public nlohmann::json_sax<nlohmann::json> {
 public:
  SafetensorsHeader take() { return std::move(header_); }

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a boolean"); }
  bool number_integer(number_integer_t) override { unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t& text) override {
    unexpected("the number " + text.substr(0, 32) + ", which is no plain unsigned integer");
  }
  bool binary(binary_t&) override { unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (!in_array_) unexpected("a number");
    std::vector<uint64_t>& list = field_ == Field::shape ? shape_ : offsets_;
    if (list.size() >= (field_ == Field::shape ? kMaxRank : 2))
      fail_header(tensor_text(tensor_.name) + " has too many entries in " + field_name());
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      fail_header(tensor_text(tensor_.name) + ": " + std::to_string(value) + " in " + field_name() +
                  " is out of range");
    list.push_back(value);
    return true;
  }

  bool string(string_t& text) override {
    if (level_ == Level::metadata) {
      count_text(text);
      header_.metadata.emplace(std::move(key_), std::move(text));
    } else if (level_ == Level::tensor && field_ == Field::dtype && !in_array_) {
      set_dtype(text);
    } else {
      unexpected("a string");
    }
    return true;
  }

  bool key(string_t& name) override {
    switch (level_) {
      case Level::outside:
        break;
      case Level::header:
        return header_key(name);
      case Level::metadata:
        return metadata_key(name);
      case Level::tensor:
        return tensor_key(name);
    }
    unexpected("a key");
  }

  bool start_object(std::size_t) override {
    if (level_ == Level::outside) {
      level_ = Level::header;
    } else if (level_ == Level::header) {
      level_ = key_ == "__metadata__" ? Level::metadata : Level::tensor;
      tensor_ = {};
      tensor_.name = key_;
      shape_.clear();
      offsets_.clear();
      seen_ = {};
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool end_object() override {
    if (level_ == Level::tensor) finish_tensor();
    level_ = level_ == Level::header ? Level::outside : Level::header;
    return true;
  }

  bool start_array(std::size_t) override {
    if (level_ != Level::tensor || in_array_ || field_ == Field::dtype) unexpected("an array");
    in_array_ = true;
    return true;
  }
  bool end_array() override {
    in_array_ = false;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail_header("its header is not valid JSON in UTF-8 (byte " + std::to_string(position) + " of the header)");
  }

 private:
  enum class Level { outside, header, metadata, tensor };
  enum class Field { dtype, shape, offsets };

  [[noreturn]] void unexpected(const std::string& what) const {
    std::string where = "at its top level";
    if (level_ == Level::header) where = "for " + tensor_text(key_);
    if (level_ == Level::metadata) where = "for metadata " + dcl::quoted(key_);
    if (level_ == Level::tensor) where = "in " + tensor_text(tensor_.name);
    fail_header("its header has " + what + " " + where);
  }

  const char* field_name() const {
    return field_ == Field::shape ? "shape" : field_ == Field::offsets ? "data_offsets" : "dtype";
  }

  void count_text(const string_t& text) {
    text_bytes_ += text.size();
    if (text_bytes_ > kMaxTextBytes)
      fail_header("its header has more than " + bytes_text(kMaxTextBytes) + " of names and metadata");
  }

  bool header_key(string_t& name) {
    if (name.size() > kMaxNameBytes)
      fail_header("its header has a tensor name of " + std::to_string(name.size()) + " bytes, expected at most " +
                  std::to_string(kMaxNameBytes));
    if (name.find('\0') != name.npos) fail_header("its header has a tensor name with a NUL character");
    if (header_.tensors.size() >= kMaxTensors)
      fail_header("its header has more than " + std::to_string(kMaxTensors) + " tensors");
    if (name == "__metadata__" && std::exchange(metadata_seen_, true)) fail_header("its header has __metadata__ twice");
    count_text(name);
    key_ = std::move(name);
    return true;
  }

  bool metadata_key(string_t& name) {
    if (header_.metadata.count(name))
      fail_header("its header has metadata " + dcl::quoted(std::string(name)) + " twice");
    if (header_.metadata.size() >= kMaxMetadata)
      fail_header("its header has more than " + std::to_string(kMaxMetadata) + " metadata entries");
    count_text(name);
    key_ = std::move(name);
    return true;
  }

  bool tensor_key(const string_t& name) {
    if (name == "dtype")
      field_ = Field::dtype;
    else if (name == "shape")
      field_ = Field::shape;
    else if (name == "data_offsets")
      field_ = Field::offsets;
    else
      fail_header(tensor_text(tensor_.name) + " has the unknown field " + dcl::quoted(name.substr(0, 64)));
    bool& seen = seen_[static_cast<size_t>(field_)];
    if (seen) fail_header(tensor_text(tensor_.name) + " has " + field_name() + " twice");
    seen = true;
    return true;
  }

  void set_dtype(const std::string& text) {
    for (auto type = FileDType::i64; type <= FileDType::boolean;
         type = static_cast<FileDType>(static_cast<int>(type) + 1))
      if (name_of(type) == text) {
        tensor_.dtype = type;
        return;
      }
    fail_header("unsupported dtype " + dcl::quoted(text.substr(0, 32)) + " for " + tensor_text(tensor_.name));
  }

  /// What the format asks of one tensor: all of its keys, a known type, and as many bytes as its shape has.
  void finish_tensor() {
    if (!seen_[0] || !seen_[1] || !seen_[2] || offsets_.size() != 2)
      fail_header(tensor_text(tensor_.name) + " needs dtype, shape and data_offsets [begin, end]");
    const uint64_t begin = offsets_[0], end = offsets_[1];
    if (end < begin) fail_header(tensor_text(tensor_.name) + " ends before it begins");
    tensor_.shape.assign(shape_.begin(), shape_.end());
    const std::optional<uint64_t> bytes = bytes_of_shape(tensor_.dtype, tensor_.shape);
    if (!bytes) fail_header(tensor_text(tensor_.name) + " has a shape whose size overflows");
    if (*bytes != end - begin)
      fail_header(tensor_text(tensor_.name) + " of shape " + shape_text(tensor_.shape) + " needs " +
                  std::to_string(*bytes) + " bytes, its data_offsets give " + std::to_string(end - begin));
    tensor_.position = begin;
    header_.tensors.push_back(std::move(tensor_));
  }

  SafetensorsHeader header_;
  Level level_ = Level::outside;
  Field field_ = Field::dtype;
  bool in_array_ = false;
  std::string key_;
  size_t text_bytes_ = 0;
  bool metadata_seen_ = false;
  FileTensor tensor_;
  std::vector<uint64_t> shape_, offsets_;
  std::array<bool, 3> seen_{};
};

/// The format asks for no holes, no overlaps, nothing after the last tensor.
void check_layout(std::vector<FileTensor>& tensors, uint64_t data_bytes) {
  std::sort(tensors.begin(), tensors.end(), [](const FileTensor& a, const FileTensor& b) {
    return std::tuple(a.position, a.bytes(), std::string_view(a.name)) <
           std::tuple(b.position, b.bytes(), std::string_view(b.name));
  });
  uint64_t position = 0;
  for (const FileTensor& tensor : tensors) {
    if (tensor.position != position)
      fail_header(tensor_text(tensor.name) + " begins at " + std::to_string(tensor.position) + ", expected " +
                  std::to_string(position) + " (tensors must follow one another without holes or overlaps)");
    position += tensor.bytes();
  }
  if (position > data_bytes)
    fail_header("it is truncated: expected " + std::to_string(position) + " bytes of tensors, got " +
                std::to_string(data_bytes));
  if (position < data_bytes)
    fail_header("it has " + std::to_string(data_bytes - position) + " bytes after its last tensor");
}

/// The JSON parser buffers the token it reads, twice and growing by doubling: no token may be long.
void check_tokens(std::string_view text) {
  size_t length = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const bool ends = c == '"' || (!inside && std::string_view("{}[]:, \t\r\n").find(c) != std::string_view::npos);
    if (c == '"') inside = !inside;
    if (inside && c == '\\') ++at;
    length = ends ? 0 : length + 1;
    if (length > (inside ? kMaxStringBytes : kMaxNumberBytes))
      fail_header("its header has a " + std::string(inside ? "string" : "word") + " of more than " +
                  bytes_text(inside ? kMaxStringBytes : kMaxNumberBytes));
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, uint64_t data_bytes) {
  if (text.empty() || text.front() != '{') fail_header("its header does not begin with {");
  // The JSON parser takes a NUL for the end of its input, so what follows one would go unread.
  if (text.find('\0') != text.npos) fail_header("its header has a NUL byte");
  check_tokens(text);
  HeaderEvents events;
  nlohmann::json::sax_parse(text.begin(), text.end(), &events);
  SafetensorsHeader header = events.take();
  check_layout(header.tensors, data_bytes);
  return header;
}

}  // namespace dcl
