#include "run/config_file.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "core/error.h"
#include "core/file.h"

namespace dcl {
namespace {

constexpr int64_t kMaxConfigBytes = 1 << 20;

bool is_key_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 63));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 63));
    out += static_cast<char>(0x80 | (code & 63));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 63));
    out += static_cast<char>(0x80 | (code >> 6 & 63));
    out += static_cast<char>(0x80 | (code & 63));
  }
}

/// One line of the file.
class LineReader {
 public:
  LineReader(std::string_view text, const std::string& name, int line) : text_(text), name_(name), line_(line) {}

  bool at_end() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
    return at_ == text_.size() || text_[at_] == '#';
  }

  bool accept(char c) {
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  std::string key() {
    at_end();
    const size_t start = at_;
    if (at_ < text_.size() && text_[at_] == '"') return basic_string();
    if (at_ < text_.size() && text_[at_] == '\'') return literal_string();
    while (at_ < text_.size() && is_key_character(text_[at_])) ++at_;
    if (at_ == start) fail_here("expected a key");
    return std::string(text_.substr(start, at_ - start));
  }

  std::vector<std::string> value() {
    if (!accept('[')) return {scalar()};
    std::vector<std::string> values;
    while (!accept(']')) {
      values.push_back(scalar());
      if (accept(',')) continue;
      if (!accept(']')) fail_here("expected , or ] (an array stands on one line)");
      break;
    }
    return values;
  }

  [[noreturn]] void fail_here(const std::string& what) const {
    fail(ErrorKind::usage, name_ + ":" + std::to_string(line_) + ": " + what);
  }

 private:
  std::string scalar() {
    if (at_end()) fail_here("expected a value");
    if (text_.substr(at_).starts_with("\"\"\"") || text_.substr(at_).starts_with("'''"))
      fail_here("strings of several lines are not supported");
    if (text_[at_] == '"') return basic_string();
    if (text_[at_] == '\'') return literal_string();
    const size_t start = at_;
    while (at_ < text_.size() && (is_key_character(text_[at_]) || text_[at_] == '+')) ++at_;
    const std::string word(text_.substr(start, at_ - start));
    const bool number = !word.empty() && word.find_first_not_of("+-0123456789._eE") == word.npos;
    if (!number && word != "true" && word != "false" && word != "inf" && word != "nan")
      fail_here("expected a value: text stands in quotes");
    std::string plain = word;  // digits may be grouped with underscores
    std::erase(plain, '_');
    return plain;
  }

  std::string literal_string() {
    const size_t end = text_.find('\'', at_ + 1);
    if (end == text_.npos) fail_here("a string does not end");
    std::string out(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return out;
  }

  std::string basic_string() {
    std::string out;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') {
        ++at_;
        return out;
      }
      if (text_[at_] == '\\')
        escape(out);
      else
        out += text_[at_];
    }
    fail_here("a string does not end");
  }

  /// at_ is on the backslash before and on the escape's last character after.
  void escape(std::string& out) {
    static constexpr std::string_view kLetters = "btnfr\"\\", kMeanings = "\b\t\n\f\r\"\\";
    const char letter = ++at_ < text_.size() ? text_[at_] : '\0';
    if (const size_t known = kLetters.find(letter); letter && known != kLetters.npos) {
      out += kMeanings[known];
      return;
    }
    const size_t digits = letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
    uint32_t code = 0;
    for (size_t i = 0; i < digits; ++i) {
      const char digit = ++at_ < text_.size() ? text_[at_] : '\0';
      const size_t value = std::string_view("0123456789abcdefABCDEF").find(digit);
      if (!digit || value == std::string_view::npos) fail_here("an escape needs hexadecimal digits");
      code = code << 4 | static_cast<uint32_t>(value < 16 ? value : value - 6);
    }
    if (!digits || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) fail_here("unknown escape in a string");
    if (code == 0) fail_here("a text cannot hold the character NUL");
    append_utf8(out, code);
  }

  std::string_view text_;
  const std::string& name_;
  int line_;
  size_t at_ = 0;
};

}  // namespace

std::vector<ConfigEntry> parse_config(std::string_view text, const std::string& name) {
  std::vector<ConfigEntry> entries;
  std::set<std::string> keys;
  std::string table;
  int number = 0;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (text.find('\0') != text.npos) fail(ErrorKind::usage, name + ": it holds the character NUL: expected a text file");
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    LineReader reader(line, name, ++number);
    if (reader.at_end()) continue;
    if (reader.accept('[')) {
      table = reader.key() + ".";
      if (!reader.accept(']')) reader.fail_here("expected ]");
    } else {
      ConfigEntry entry{table + reader.key(), {}, number};
      if (!reader.accept('=')) reader.fail_here("expected = after " + entry.key);
      entry.values = reader.value();
      if (!keys.insert(entry.key).second) reader.fail_here(entry.key + " stands twice");
      entries.push_back(std::move(entry));
    }
    if (!reader.at_end()) reader.fail_here("unexpected text at the end of the line");
  }
  return entries;
}

std::vector<ConfigEntry> read_config(const std::filesystem::path& path) {
  std::string text;
  try {
    text = read_text(path, kMaxConfigBytes);
  } catch (const Error& error) {
    fail(ErrorKind::usage, std::string("configuration file: ") + error.what());
  }
  return parse_config(text, path.native());
}

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04X", byte);
      out += escaped;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace dcl
