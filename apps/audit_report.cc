#include "audit_report.h"

#include <fmt/format.h>

#include "core/file.h"
#include "core/number.h"

namespace dcl {
namespace {

std::vector<std::string> header() {
  std::vector<std::string> columns = {"similarity", "identical"};
  for (const char* which : {"_a", "_b"})
    for (const char* what : {"split", "row", "name", "class"}) columns.push_back(std::string(what) + which);
  return columns;
}

void write_image(CsvWriter& table, const Dataset& dataset, int32_t image) {
  table.field(std::string_view(dataset.split)).field(image);
  table.field(std::string_view(dataset.names[static_cast<size_t>(image)]));
  table.field(std::string_view(dataset.class_name(image)));
}

std::string quantile_name(double quantile) { return "q" + number_text(int64_t(quantile * 100 + 0.5)); }

nlohmann::ordered_json json_of(const std::optional<SimilaritySpread>& spread) {
  if (!spread) return nullptr;
  nlohmann::ordered_json out{{"pairs", spread->pairs}, {"mean", spread->mean}};
  for (size_t i = 0; i < spread->quantiles.size(); ++i)
    out[quantile_name(kSimilarityQuantiles[i])] = spread->quantiles[i];
  return out;
}

nlohmann::ordered_json json_of(const DuplicateCounts& counts) {
  return {{"pairs", counts.pairs},
          {"images", counts.images},
          {"identical_pairs", counts.identical_pairs},
          {"identical_images", counts.identical_images}};
}

std::string spread_line(const char* of, const std::optional<SimilaritySpread>& spread) {
  if (!spread) return fmt::format("  {:<15} no such pair\n", of);
  std::string line = fmt::format("  {:<15} {:>13} {:8.4f}", of, spread->pairs, spread->mean);
  for (const double quantile : spread->quantiles) line += fmt::format(" {:8.4f}", quantile);
  return line + "\n";
}

std::string text_of(const ClassAudit& c) {
  std::string text = fmt::format("{} labelled images: two of them share a class with probability {:.4f} (tau+)\n",
                                 c.images, c.same_class_probability);
  text += fmt::format("  {:<15} {:>13} {:>8}", "similarity", "pairs", "mean");
  for (const double quantile : kSimilarityQuantiles) text += fmt::format(" {:7.0f}%", 100 * quantile);
  text += "\n" + spread_line("same class", c.same) + spread_line("different class", c.different);
  if (c.auc) text += fmt::format("AUC of 'same class' by similarity: {:.4f}\n", c.auc->value);
  return text +
         fmt::format("of the {} most similar images of an image, {:.2f}% have its class, of random ones {:.2f}%\n", c.k,
                     100 * c.false_negatives, 100 * c.same_class_probability);
}

}  // namespace

PairTable::PairTable(const std::filesystem::path& path) : table_(path, header()) {}

void PairTable::write(const Audit& audit, const Dataset& set, const Dataset* other) {
  for (const NearPair& pair : audit.pairs) {
    table_.field(pair.similarity).field(pair.identical ? 1 : 0);
    write_image(table_, set, pair.a);
    write_image(table_, pair.between ? *other : set, pair.b);
    table_.end_row();
  }
}

nlohmann::ordered_json json_of(const Audit& audit) {
  nlohmann::ordered_json out;
  const auto& classes = audit.classes;
  const auto put = [&](const char* name, auto&& value_of) {
    out[name] = classes ? nlohmann::ordered_json(value_of(*classes)) : nlohmann::ordered_json();
  };
  out["labelled"] = classes ? classes->images : 0;
  put("same_class_probability", [](const ClassAudit& c) { return c.same_class_probability; });
  put("same_class", [](const ClassAudit& c) { return json_of(c.same); });
  put("different_class", [](const ClassAudit& c) { return json_of(c.different); });
  put("auc", [](const ClassAudit& c) { return c.auc ? nlohmann::ordered_json(c.auc->value) : nullptr; });
  put("auc_error", [](const ClassAudit& c) { return c.auc ? nlohmann::ordered_json(c.auc->error) : nullptr; });
  put("k", [](const ClassAudit& c) { return c.k; });
  put("false_negatives", [](const ClassAudit& c) { return c.false_negatives; });
  out["duplicates"] = json_of(audit.within);
  out["leakage"] = audit.between ? json_of(*audit.between) : nlohmann::ordered_json();
  return out;
}

std::string text_of(const Audit& audit, const Dataset& set, const Dataset* other, double threshold) {
  std::string text =
      audit.classes ? text_of(*audit.classes) : "fewer than two images have a label: nothing is said about classes\n";
  text += "near duplicates (similarity of at least " + number_text(threshold) + "):\n";
  const auto counts = [&](const DuplicateCounts& c, int64_t images) {
    return fmt::format(": pairs {}, of identical pixels {}; images in them {} of {}", c.pairs, c.identical_pairs,
                       c.images, images);
  };
  const std::string split = escaped(set.split);
  text += "  in " + split + counts(audit.within, set.size()) + "\n";
  if (audit.between)
    text += "  between " + split + " and " + escaped(other->split) + counts(*audit.between, other->size()) + " of " +
            escaped(other->split) + "\n";
  return text;
}

}  // namespace dcl
