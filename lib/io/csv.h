// Comma-separated values (RFC 4180 quoting, lines end in \n), independent of the locale.
#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/number.h"
#include "io/atomic_file.h"

namespace dcl {

/// The field, quoted when it holds a comma, a quote or a line break, or begins or ends with a space.
std::string csv_field(std::string_view text);
/// A record with its line end.
std::string csv_line(std::span<const std::string> fields);
/// Fields of one record without its line end, quotes removed (the record may hold line breaks inside quotes).
std::vector<std::string> csv_split(std::string_view record);

/// A table that appears under its name on commit(). Each row is ended explicitly and must have as many fields as the
/// header.
class CsvWriter {
 public:
  CsvWriter(const std::filesystem::path& path, std::vector<std::string> header);

  CsvWriter& field(std::string_view text);
  CsvWriter& field(double value) { return raw(number_text(value)); }
  CsvWriter& field(float value) { return raw(number_text(value)); }
  template <std::integral T>
  CsvWriter& field(T value) {
    return raw(number_text(static_cast<int64_t>(value)));
  }
  void end_row();
  /// As AtomicFile has them.
  void finish();
  void commit();

 private:
  CsvWriter& raw(const std::string& text);

  AtomicFile file_;
  std::string line_;
  size_t columns_, fields_ = 0;
};

}  // namespace dcl
