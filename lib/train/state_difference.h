// How the tensors of a file and those of a model differ, in the words of PyTorch's load_state_dict.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/tensor_file.h"

namespace dcl {

/// `"a", "b" and 12 more`
std::string name_list(const std::vector<std::string>& names);

class StateDifference {
 public:
  bool empty() const { return missing_.empty() && unexpected_.empty() && mismatched_.empty(); }

  void add_missing(const std::string& name) { missing_.push_back(name); }
  void add_unexpected(std::string_view name) { unexpected_.emplace_back(name); }
  /// Of another shape than the model's, or of a type that is not floating.
  void add_size(const FileTensor& tensor, std::span<const int64_t> expected);
  void add_type(const FileTensor& tensor);

  /// One line; `model`: the name of what the file was to be loaded into.
  std::string text(const std::string& model) const;

 private:
  std::vector<std::string> missing_, unexpected_;
  std::vector<std::string> mismatched_;  ///< a sentence each
};

}  // namespace dcl
