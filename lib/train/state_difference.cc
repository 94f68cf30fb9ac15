#include "train/state_difference.h"

#include <algorithm>

#include "core/file.h"

namespace dcl {
namespace {

constexpr size_t kListed = 10;

std::string torch_size(std::span<const int64_t> shape) { return "torch.Size(" + shape_text(shape) + ")"; }

}  // namespace

std::string name_list(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kListed); ++i) text += (i ? ", \"" : "\"") + escaped(names[i]) + "\"";
  if (names.size() > kListed) text += " and " + std::to_string(names.size() - kListed) + " more";
  return text;
}

void StateDifference::add_size(const FileTensor& tensor, std::span<const int64_t> expected) {
  mismatched_.push_back("size mismatch for " + escaped(tensor.name) + ": copying a param with shape " +
                        torch_size(tensor.shape) + " from checkpoint, the shape in current model is " +
                        torch_size(expected) + ".");
}

void StateDifference::add_type(const FileTensor& tensor) {
  mismatched_.push_back(escaped(tensor.name) + " is " + std::string(name_of(tensor.dtype)) +
                        ", expected a floating type.");
}

std::string StateDifference::text(const std::string& model) const {
  std::string text = "Error(s) in loading state_dict for " + model + ":";
  if (!missing_.empty()) text += " Missing key(s) in state_dict: " + name_list(missing_) + ".";
  if (!unexpected_.empty()) text += " Unexpected key(s) in state_dict: " + name_list(unexpected_) + ".";
  for (size_t i = 0; i < std::min(mismatched_.size(), kListed); ++i) text += " " + mismatched_[i];
  if (mismatched_.size() > kListed)
    text += " And " + std::to_string(mismatched_.size() - kListed) + " more of another size.";
  return text;
}

}  // namespace dcl
