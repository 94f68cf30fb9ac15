// STL-10's fold_indices.txt: what is taken are ten folds of as many images each, none of them twice or out of range.
#include <algorithm>
#include <string_view>

#include "data/stl10_folds.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int64_t kImages = 50;
  dcl::fuzz::refusing(dcl::ErrorKind::data, [&] {
    auto folds = dcl::parse_stl10_folds("input", std::string_view(reinterpret_cast<const char*>(data), size), kImages);
    if (std::ssize(folds) != dcl::kStl10Folds) std::abort();
    for (dcl::Fold& fold : folds) {
      std::ranges::sort(fold);
      if (fold.empty() || fold.size() != folds[0].size() || fold.front() < 0 || fold.back() >= kImages ||
          std::ranges::adjacent_find(fold) != fold.end())
        std::abort();
    }
  });
  return 0;
}
