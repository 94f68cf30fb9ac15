// What a user is told while engines are tried: dozens of convolutions have the same to say, so each thing is said once.
// Needs no CUDA.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <utility>

namespace dcl::cuda {

class TrialNews {
 public:
  /// cache: where choices are kept; empty: nowhere.
  explicit TrialNews(std::filesystem::path cache) : cache_(std::move(cache)) {}

  /// Before the first trial, which the others follow for seconds.
  void begin();
  /// An engine, by its number and in full, that gave `why` for a convolution: of each number and reason the first.
  void passed_over(int64_t engine, const std::string& name, const std::string& why, const std::string& key);
  /// That the parts of a convolution are faster than what has all of it, in milliseconds.
  void composed(const std::string& key, float whole, float parts);

 private:
  std::filesystem::path cache_;
  bool begun_ = false, composed_ = false;
  std::set<std::pair<int64_t, std::string>> passed_over_;
};

}  // namespace dcl::cuda
