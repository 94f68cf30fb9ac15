#include "linear_folds.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "comma_list.h"
#include "core/error.h"
#include "math/sample.h"

namespace dcl {
namespace {

std::vector<int64_t> numbers_of(const std::string& text) {
  if (text == "all") {
    std::vector<int64_t> all(kStl10Folds);
    std::iota(all.begin(), all.end(), 0);
    return all;
  }
  const std::vector<int64_t> numbers = comma_list_of("folds", text, 0, kStl10Folds - 1, "all, or");
  for (auto at = numbers.begin(); at != numbers.end(); ++at)
    if (std::find(numbers.begin(), at, *at) != at)
      fail(ErrorKind::usage, "--folds names fold " + std::to_string(*at) + " twice");
  return numbers;
}

}  // namespace

FoldChoice choose_folds(const std::string& text, const DatasetSpec& spec) {
  if (text.empty()) return {};
  FoldChoice choice{numbers_of(text), {}};
  std::vector<Fold> folds = load_stl10_folds(spec);
  for (const int64_t number : choice.numbers) choice.images.push_back(std::move(folds[static_cast<size_t>(number)]));
  return choice;
}

std::string Spread::text() const {
  return deviation ? fmt::format("{:.2f}% +- {:.2f}%", mean, *deviation) : fmt::format("{:.2f}%", mean);
}

Spread spread_of(std::span<const double> figures) {
  Spread out{sample_mean(figures), {}};
  if (figures.size() > 1) out.deviation = sample_deviation(figures);
  return out;
}

LinearFigures::LinearFigures(const FoldChoice& choice, const std::vector<LinearResult>& results) {
  const auto spread_over_results = [&](const auto& figure) {
    std::vector<double> figures;
    for (const LinearResult& result : results) figures.push_back(figure(result.last));
    return spread_of(figures);
  };
  top1 = spread_over_results([](const LinearEpoch& last) { return *last.top1; });
  top5 = spread_over_results([](const LinearEpoch& last) { return *last.top5; });
  const double loss = spread_over_results([](const LinearEpoch& last) { return last.loss; }).mean;
  json = {{"top1", top1.mean}, {"top5", top5.mean}, {"loss", loss}};
  if (choice.numbers.empty()) return;
  for (const auto& [key, spread] : {std::pair{"top1_std", top1}, std::pair{"top5_std", top5}})
    json[key] = spread.deviation ? nlohmann::ordered_json(*spread.deviation) : nlohmann::ordered_json();
  for (size_t i = 0; i < results.size(); ++i) {
    const LinearEpoch& last = results[i].last;
    json["folds"].push_back({{"fold", choice.numbers[i]},
                             {"images", choice.images[i].size()},
                             {"top1", *last.top1},
                             {"top5", *last.top5},
                             {"loss", last.loss}});
  }
}

}  // namespace dcl
