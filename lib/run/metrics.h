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
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  /// Columns left out are empty in the CSV and absent in the JSON. A column that was not declared is Error{internal}.
  /// Non-finite numbers are nan/inf in the CSV and null in the JSON.
  void write(const MetricRecord& record);

 private:
  void close() noexcept;

  std::filesystem::path csv_path_, json_path_;
  std::vector<std::string> columns_;
  int csv_ = -1, json_ = -1;
};

}  // namespace dcl
