// What dcl-audit says, as a table of pairs, as JSON and in words.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "data/dataset.h"
#include "io/csv.h"
#include "train/audit.h"

namespace dcl {

/// Pairs of images of `set`, or of one of it and one of `other`, a row each: similarity, whether the pixels are
/// identical, and split, number, name and class (empty where unknown) of both. Appears on commit().
class PairTable {
 public:
  explicit PairTable(const std::filesystem::path& path);
  void write(const Audit& audit, const Dataset& set, const Dataset* other);
  void commit() { table_.commit(); }

 private:
  CsvWriter table_;
};

/// Every figure of the audit; null where there is none.
nlohmann::ordered_json json_of(const Audit& audit);
/// The same in lines of text.
std::string text_of(const Audit& audit, const Dataset& set, const Dataset* other, double threshold);

}  // namespace dcl
