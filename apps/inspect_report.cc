#include "inspect_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "core/file.h"
#include "io/file.h"
#include "io/file_format.h"
#include "io/tensor_summary.h"
#include "train/model_file.h"

namespace dcl {
namespace {

using nlohmann::ordered_json;

/// The extremes of what is added.
struct Extent {
  std::optional<double> low, high;
  void add(double from, double to) {
    low = low ? std::min(*low, from) : from;
    high = high ? std::max(*high, to) : to;
  }
  ordered_json json() const { return low ? ordered_json{*low, *high} : ordered_json(); }
};

/// Which network it is and who takes it, or why nobody does.
void describe_model(const TensorFile& file, const std::string& model_prefix, ordered_json& out) {
  try {
    const StateMapping mapping = map_state(file.tensors(), model_prefix, /*classifier=*/true);
    const ModelConfig& config = mapping.config;
    ordered_json model{{"arch", config.arch}, {"stem", name_of(config.stem)}, {"prefix", mapping.names.model_prefix()}};
    model["head"] = config.head ? ordered_json{{"hidden_dim", config.hidden_dim}, {"feature_dim", config.feature_dim}}
                                : ordered_json();
    const MappedLinear& linear = mapping.linear;
    model["classifier"] =
        linear.weight ? ordered_json{{"name", linear.weight->name}, {"classes", linear.classes()}} : ordered_json();
    int64_t parameters = linear.weight ? linear.weight->elements() + linear.bias->elements() : 0;
    for (const MappedTensor& mapped : mapping.tensors)
      if (is_trainable(mapped.entry.kind)) parameters += mapped.entry.size;
    model["parameters"] = parameters;
    out["model"] = model;
    out["used_by"] = {"dcl-knn", "dcl-linear", "dcl-embed", "dcl-audit", "dcl-convert"};
    if (linear.weight) out["used_by"].push_back("dcl-predict");
    if (file.metadata().contains("dcl.state")) out["used_by"].push_back("dcl-pretrain --resume");
    for (const std::string& notice : mapping.notices) out["notices"].push_back(notice);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data) throw;
    out["model"] = nullptr;
    out["no_model_because"] = error.what();
    out["used_by"] = {"dcl-convert"};
  }
}

void add_summary(const TensorSummary& summary, ordered_json& row) {
  row["norm"] = summary.norm;
  row["mean"] = summary.finite > 0 ? ordered_json(summary.mean) : ordered_json();
  row["min"] = summary.finite > 0 ? ordered_json(summary.min) : ordered_json();
  row["max"] = summary.finite > 0 ? ordered_json(summary.max) : ordered_json();
  row["nan"] = summary.nan;
  row["infinite"] = summary.infinite;
  row["xxh3_128"] = summary.hash;
}

void describe_tensors(const TensorFile& file, bool stats, ordered_json& out) {
  Extent variances, counters;
  int64_t elements = 0, non_finite = 0, norms = 0;
  out["tensors"] = ordered_json::array();
  for (const FileTensor& tensor : file.tensors()) {
    ordered_json row{{"name", tensor.name}, {"dtype", name_of(tensor.dtype)}, {"shape", tensor.shape}};
    elements += tensor.elements();
    norms += tensor.name.ends_with("running_var");
    if (stats) {
      const TensorSummary summary = summarize(file, tensor);
      add_summary(summary, row);
      non_finite += summary.nan + summary.infinite;
      if (summary.finite > 0 && tensor.name.ends_with("running_var")) variances.add(summary.min, summary.max);
      if (summary.finite > 0 && tensor.name.ends_with("num_batches_tracked")) counters.add(summary.min, summary.max);
    }
    out["tensors"].push_back(std::move(row));
  }
  out["elements"] = elements;
  if (!stats) return;
  out["non_finite"] = non_finite;
  if (norms > 0)
    out["batch_norm"] = {
        {"layers", norms}, {"running_var", variances.json()}, {"num_batches_tracked", counters.json()}};
}

// ---- Text -----------------------------------------------------------------------------------------------------------

std::string number_cell(const ordered_json& value) {
  return value.is_null() ? "-" : fmt::format("{:.4g}", value.get<double>());
}

std::string text_cell(const ordered_json& value) {
  return escaped(value.is_string() ? value.get<std::string>() : value.dump());
}

std::string range_text(const ordered_json& range) {
  return range.is_null() ? "none" : number_cell(range[0]) + " to " + number_cell(range[1]);
}

std::string line(const std::string& name, const std::string& value) { return fmt::format("{:<18}{}\n", name, value); }

std::string joined(const ordered_json& words) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : ", ") + word.get<std::string>();
  return out;
}

std::string model_lines(const ordered_json& report) {
  if (report["model"].is_null())
    return line("model", "none: " + report["no_model_because"].get<std::string>()) +
           line("used by", joined(report["used_by"]));
  const ordered_json& model = report["model"];
  std::string text = model["arch"].get<std::string>() + ", " + model["stem"].get<std::string>() + " stem, ";
  if (model["head"].is_null())
    text += "no projection head";
  else
    text += fmt::format("head {}-{}", model["head"]["hidden_dim"].get<int64_t>(),
                        model["head"]["feature_dim"].get<int64_t>());
  if (!model["classifier"].is_null())
    text += fmt::format(", classifier of {} classes", model["classifier"]["classes"].get<int64_t>());
  return line("model", text) + line("parameters", std::to_string(model["parameters"].get<int64_t>())) +
         line("used by", joined(report["used_by"]));
}

/// Columns as wide as their widest cell, all but the first two aligned to the right.
std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows.front().size());
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string out;
  for (const auto& row : rows) {
    std::string text;
    for (size_t i = 0; i < row.size(); ++i)
      text += i < 3 ? fmt::format("{:<{}}  ", row[i], widths[i]) : fmt::format("{:>{}}  ", row[i], widths[i]);
    out += text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

std::string tensor_table(const ordered_json& tensors) {
  if (tensors.empty()) return "";
  const bool stats = tensors[0].contains("norm");
  std::vector<std::vector<std::string>> rows = {{"tensor", "dtype", "shape"}};
  if (stats) rows[0].insert(rows[0].end(), {"norm", "mean", "min", "max", "NaN", "inf", "XXH3-128"});
  for (const auto& tensor : tensors) {
    std::vector<std::string> row = {text_cell(tensor["name"]), text_cell(tensor["dtype"]), text_cell(tensor["shape"])};
    if (stats) {
      for (const char* key : {"norm", "mean", "min", "max"}) row.push_back(number_cell(tensor[key]));
      for (const char* key : {"nan", "infinite", "xxh3_128"}) row.push_back(text_cell(tensor[key]));
    }
    rows.push_back(std::move(row));
  }
  return "\n" + table(rows);
}

}  // namespace

ordered_json inspect_file(const std::filesystem::path& path, const std::string& model_prefix, bool stats) {
  const std::shared_ptr<const ByteSource> source = file_bytes(path.native());
  const FormatGuess guess = guess_format(*source);
  ordered_json out{{"file", path.native()}, {"bytes", source->size()}};
  if (stats) out["xxh3_128"] = hash_of(*source);
  if (guess.format == FileFormat::npy || guess.format == FileFormat::onnx || guess.format == FileFormat::events) {
    out["format"] = guess.words;
    return out;
  }
  const std::unique_ptr<TensorFile> file = open_tensor_file(source);
  out["format"] = file->format();
  out["notices"] = file->notices();
  describe_model(*file, model_prefix, out);
  out["metadata"] = file->metadata();
  describe_tensors(*file, stats, out);
  return out;
}

std::string report_text(const ordered_json& report) {
  std::string out =
      line("file", escaped(report["file"].get<std::string>())) +
      line("format", report["format"].get<std::string>() + ", " + bytes_text(report["bytes"].get<uint64_t>()));
  if (report.contains("xxh3_128")) out += line("XXH3-128", report["xxh3_128"].get<std::string>());
  if (!report.contains("tensors")) return out;
  out += model_lines(report);
  out += line("tensors", fmt::format("{}, {} elements", report["tensors"].size(), report["elements"].get<int64_t>()));
  if (report.contains("non_finite"))
    out += line("NaN or infinite", std::to_string(report["non_finite"].get<int64_t>()));
  if (report.contains("batch_norm")) {
    const ordered_json& norm = report["batch_norm"];
    out += line("batch norm",
                fmt::format("{} layers, running_var {}, num_batches_tracked {}", norm["layers"].get<int64_t>(),
                            range_text(norm["running_var"]), range_text(norm["num_batches_tracked"])));
  }
  for (const auto& notice : report["notices"]) out += line("notice", notice.get<std::string>());
  for (const auto& [key, value] : report["metadata"].items())
    if (!key.starts_with("dcl.xxh3")) out += line("metadata", escaped(key) + " = " + text_cell(value));
  return out + tensor_table(report["tensors"]);
}

}  // namespace dcl
