#include "run/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/number.h"
#include "io/atomic_file.h"
#include "io/csv.h"
#include "io/file.h"
#include "run/console.h"
#include "run/json_text.h"

namespace dcl {
namespace {

constexpr int64_t kMaxMetricsBytes = int64_t{1} << 31;
constexpr const char* kTime = "ts";

std::string text_of(const MetricValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* number = std::get_if<double>(&value)) return number_text(*number);
  return number_text(std::get<int64_t>(value));
}

nlohmann::ordered_json json_of(const MetricValue& value) {
  return std::visit([](const auto& plain) { return nlohmann::ordered_json(plain); }, value);
}

std::string text_in(const std::filesystem::path& path) {
  return std::filesystem::exists(path) ? read_text(path, kMaxMetricsBytes) : "";
}

/// Calls use(line without its end) for each complete line; what follows the last line end was cut off by a kill.
template <class Use>
void for_each_line(std::string_view text, Use&& use) {
  for (size_t end; (end = text.find('\n')) != text.npos; text.remove_prefix(end + 1)) use(text.substr(0, end));
}

/// Keeps the records up to the step; `columns` grows by those the old file has not.
void rewrite_csv(const std::filesystem::path& path, std::vector<std::string>& columns, int64_t last_step) {
  const std::string text = text_in(path);
  std::vector<std::string> header;
  std::string kept;
  size_t step_column = 0;
  for_each_line(text, [&](std::string_view line) {
    std::vector<std::string> fields = csv_split(line);
    if (header.empty()) {
      header = std::move(fields);
      step_column = static_cast<size_t>(std::ranges::find(header, "step") - header.begin());
      if (step_column == header.size())
        fail(ErrorKind::data,
             quoted(path) + " has no column named step, so it is no run's: move it elsewhere, a new one is begun");
      for (const std::string& column : columns)
        if (std::ranges::find(header, column) == header.end()) header.push_back(column);
      kept = csv_line(header);
      return;
    }
    const auto step = fields.size() > step_column ? parse_number<int64_t>(fields[step_column]) : std::nullopt;
    if (!step || *step > last_step) return;
    fields.resize(header.size());
    kept += csv_line(fields);
  });
  if (!header.empty()) columns = header;
  if (kept != text) write_file_atomically(path, kept);
}

void rewrite_json(const std::filesystem::path& path, int64_t last_step) {
  const std::string text = text_in(path);
  std::string kept;
  for_each_line(text, [&](std::string_view line) {
    const auto record = nlohmann::json::parse(line, nullptr, false);
    if (!record.is_object()) return;
    const auto step = record.find("step");
    if (step == record.end() || !step->is_number_integer() || step->get<int64_t>() > last_step) return;
    kept += std::string(line) + "\n";
  });
  if (kept != text) write_file_atomically(path, kept);
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& folder, std::vector<std::string> columns,
                       std::optional<int64_t> resume_step)
    : columns_(std::move(columns)) {
  if (std::ranges::find(columns_, "step") == columns_.end())
    fail(ErrorKind::internal, "MetricsLog: a column named step is needed");
  columns_.push_back(kTime);
  const int64_t last_step = resume_step.value_or(std::numeric_limits<int64_t>::max() - 1);
  const std::filesystem::path csv = folder / "metrics.csv", json = folder / "metrics.jsonl";
  rewrite_csv(csv, columns_, last_step);
  rewrite_json(json, last_step);
  csv_.emplace(csv);
  json_.emplace(json);
  if (csv_->empty()) csv_->append_now(csv_line(columns_));
}

void MetricsLog::write(const MetricRecord& record) {
  std::vector<std::string> fields(columns_.size());
  nlohmann::ordered_json object;
  const auto set = [&](const std::string& name, const MetricValue& value) {
    const auto column = std::ranges::find(columns_, name);
    if (column == columns_.end()) fail(ErrorKind::internal, "MetricsLog: no column is named " + name);
    fields[static_cast<size_t>(column - columns_.begin())] = text_of(value);
    object[name] = json_of(value);
  };
  for (const auto& [name, value] : record) set(name, value);
  if (!object.contains("step")) fail(ErrorKind::internal, "MetricsLog: a record needs its step");
  set(kTime, utc_text(unix_now()));
  csv_->append(csv_line(fields));
  json_->append(json_text(object));
}

void MetricsLog::flush() {
  csv_->flush();
  json_->flush();
}

}  // namespace dcl
