#include "io/csv.h"

#include "core/error.h"
#include "core/file.h"

namespace dcl {

std::string csv_field(std::string_view text) {
  const bool plain = text.find_first_of(",\"\r\n") == text.npos && !text.starts_with(' ') && !text.ends_with(' ');
  if (plain) return std::string(text);
  std::string out = "\"";
  for (const char c : text) out.append(c == '"' ? 2 : 1, c);
  return out + "\"";
}

std::string csv_line(std::span<const std::string> fields) {
  std::string out;
  for (size_t i = 0; i < fields.size(); ++i) out += (i ? "," : "") + csv_field(fields[i]);
  return out + "\n";
}

std::vector<std::string> csv_split(std::string_view record) {
  std::vector<std::string> fields(1);
  bool inside = false;
  for (size_t i = 0; i < record.size(); ++i) {
    const char c = record[i];
    if (c == '"' && inside && i + 1 < record.size() && record[i + 1] == '"')
      fields.back() += record[++i];
    else if (c == '"')
      inside = !inside;
    else if (c == ',' && !inside)
      fields.emplace_back();
    else
      fields.back() += c;
  }
  return fields;
}

CsvWriter::CsvWriter(const std::filesystem::path& path, std::vector<std::string> header)
    : file_(path), columns_(header.size()) {
  file_.write(csv_line(header));
}

CsvWriter& CsvWriter::field(std::string_view text) { return raw(csv_field(text)); }

CsvWriter& CsvWriter::raw(const std::string& text) {
  if (fields_++) line_ += ',';
  line_ += text;
  return *this;
}

void CsvWriter::end_row() {
  if (fields_ != columns_)
    fail(ErrorKind::internal, "CsvWriter: a row of " + std::to_string(fields_) + " fields in " + quoted(file_.path()) +
                                  ", expected " + std::to_string(columns_));
  line_ += '\n';
  file_.write(line_);
  line_.clear();
  fields_ = 0;
}

void CsvWriter::finish() { file_.finish(); }
void CsvWriter::commit() { file_.commit(); }

}  // namespace dcl
