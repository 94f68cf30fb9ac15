#include "bench_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common_options.h"
#include "io/csv.h"
#include "run/console.h"
#include "run/version.h"

namespace dcl {
namespace {

constexpr double kMilli = 1e3, kGiga = 1e-9;

struct Column {
  const char* name;
  size_t width;  ///< of the Markdown table; longer cells move what follows
  bool right;
};
constexpr Column kColumns[] = {
    {"backend", 7, false}, {"device", 30, false},  {"op", 18, false},       {"shape", 28, false}, {"dtype", 5, false},
    {"threads", 7, true},  {"batch", 5, true},     {"median_ms", 10, true}, {"sd_ms", 8, true},   {"rate", 9, true},
    {"unit", 8, false},    {"mebibytes", 9, true}, {"version", 7, false}};

bool counts_flops(const bench::Operation& operation) { return operation.unit == std::string_view("FLOP"); }

double rate_of(const BenchRow& row) {
  return row.operation.work / row.measured.median() * (counts_flops(row.operation) ? kGiga : 1);
}
std::string unit_of(const BenchRow& row) {
  return counts_flops(row.operation) ? "GFLOP/s" : row.operation.unit + std::string("/s");
}

/// The processor's or GPU's name.
std::string device_of(const BackendInfo& info) {
  for (const auto& [what, name] : info.bits_depend_on)
    if (what == "processor") return name;
  return info.device;
}

/// In the order of kColumns.
std::vector<std::string> cells_of(const BenchRow& row) {
  return {row.backend.name,
          device_of(row.backend),
          row.operation.name,
          row.operation.shape,
          row.dtype,
          std::to_string(row.threads),
          std::to_string(row.operation.batch),
          fmt::format("{:.4g}", kMilli * row.measured.median()),
          fmt::format("{:.2g}", kMilli * row.measured.standard_deviation()),
          rate_of(row) < 1e4 ? fmt::format("{:.4g}", rate_of(row)) : fmt::format("{:.0f}", rate_of(row)),
          unit_of(row),
          fmt::format("{:.0f}", row.measured.mebibytes),
          version()};
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const Column& column : kColumns) all.emplace_back(column.name);
  return all;
}

std::string markdown(const std::vector<std::string>& cells) {
  std::string line = "|";
  for (size_t i = 0; i < cells.size(); ++i)
    line += fmt::format(fmt::runtime(kColumns[i].right ? " {:>{}} |" : " {:<{}} |"), cells[i], kColumns[i].width);
  return line + "\n";
}

std::string markdown_rule() {
  std::string line = "|";
  for (const Column& column : kColumns) line += std::string(column.width + 1, '-') + (column.right ? ":|" : "-|");
  return line + "\n";
}

/// Numbers as they were measured, every sample of them.
nlohmann::ordered_json json_of(const BenchRow& row) {
  std::vector<double> samples;
  for (const double seconds : row.measured.seconds) samples.push_back(kMilli * seconds);
  nlohmann::ordered_json libraries;
  for (const auto& [name, number] : row.backend.libraries) libraries[name] = number;
  return {{"backend", row.backend.name},
          {"device", device_of(row.backend)},
          {"op", row.operation.name},
          {"shape", row.operation.shape},
          {"dtype", row.dtype},
          {"threads", row.threads},
          {"batch", row.operation.batch},
          {"count", row.operation.count},
          {"median_ms", kMilli * row.measured.median()},
          {"min_ms", *std::ranges::min_element(samples)},
          {"max_ms", *std::ranges::max_element(samples)},
          {"sd_ms", kMilli * row.measured.standard_deviation()},
          {"samples_ms", samples},
          {"rate", rate_of(row)},
          {"unit", unit_of(row)},
          {"mebibytes", row.measured.mebibytes},
          {"version", version()},
          {"compiler", compiler()},
          {"libraries", libraries}};
}

}  // namespace

void BenchTable::add(const BenchRow& row) {
  const bool first = std::exchange(empty_, false);
  if (format_ == "jsonl") return print_json(json_of(row));
  if (format_ == "csv") {
    if (first) print(csv_line(names()));
    print(csv_line(cells_of(row)));
  } else {
    if (first) print(markdown(names()) + markdown_rule());
    print(markdown(cells_of(row)));
  }
}

}  // namespace dcl
