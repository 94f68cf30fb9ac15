// The rows of dcl-bench on standard output, as they come: a Markdown table, CSV, or one JSON object a line.
#pragma once

#include <string>
#include <vector>

#include "bench/measure.h"

namespace dcl {

struct BenchRow {
  BackendInfo backend;
  bench::Operation operation;
  std::string dtype;
  int threads = 1;
  bench::Measurement measured;
};

class BenchTable {
 public:
  /// "md", "csv" or "jsonl".
  static std::vector<std::string> formats() { return {"md", "csv", "jsonl"}; }
  explicit BenchTable(std::string format) : format_(std::move(format)) {}
  void add(const BenchRow& row);

 private:
  std::string format_;
  bool empty_ = true;
};

}  // namespace dcl
