// metrics.csv and metrics.jsonl of a run: one record per write(), appended whole, so that a killed run leaves at most
// one incomplete last line, which a resume removes together with every record after the step it resumes from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "io/append_file.h"

namespace dcl {

using MetricValue = std::variant<int64_t, double, std::string>;
/// Column and value, e.g. {"step", int64_t{10}}, {"loss", 4.81}. "step" is required.
using MetricRecord = std::vector<std::pair<std::string, MetricValue>>;

class MetricsLog {
 public:
  /// columns: the header of the CSV, "step" among them; "ts" (UTC) is added at the end. Without resume_step old records
  /// are kept too (a directory is only reused when a run is resumed). Error{io}.
  MetricsLog(const std::filesystem::path& folder, std::vector<std::string> columns,
             std::optional<int64_t> resume_step = std::nullopt);

  /// Columns left out are empty in the CSV and absent in the JSON. A column that was not declared is Error{internal}.
  /// Non-finite numbers are nan/inf in the CSV and null in the JSON. What cannot be written is kept (AppendFile).
  void write(const MetricRecord& record);
  /// Error{io} when records are kept and still cannot be written.
  void flush();

 private:
  std::vector<std::string> columns_;
  std::optional<AppendFile> csv_, json_;
};

}  // namespace dcl
