// How files of different origin call the tensors of a ResNet, and where in a file such a network is.
#pragma once

#include <array>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/tensor_file.h"
#include "nn/model_config.h"

namespace dcl {

/// The tensors of a file by their names, which the file owns.
using TensorIndex = std::map<std::string_view, const FileTensor*, std::less<>>;
TensorIndex index_of(std::span<const FileTensor> tensors);

/// The names of one trunk: torchvision's (conv1, bn1, layer1.0.conv1), or the places in an nn.Sequential of the same
/// modules (0, 1, 3.0.conv1), which are the published ones when the prefix ends in "f.".
struct TrunkNames {
  std::string prefix;        ///< before every name: "", "module.f.", "state_dict.backbone."
  bool torchvision = false;  ///< otherwise sequential
  int first_layer = 3;       ///< sequential: the place of layer1; 4 where the max-pool keeps its own
  bool shortcut = false;     ///< "shortcut" where torchvision has "downsample"

  /// What the file calls the tensor that `stem`'s published model calls `published` ("f.3.0.conv1.weight").
  std::string of(std::string_view published, Stem stem) const;
  /// Whether the first module of `rest` (a name without the prefix) is one that a trunk has.
  bool is_trunk(std::string_view rest) const;
  /// The prefix is that of the published class, with the head beside the trunk.
  bool published() const;
  /// The prefix of the model around the trunk: without the "f." of a published one.
  std::string_view model_prefix() const;
  /// "conv1.weight, layer1.0.conv1.weight"
  std::string examples() const;
};

/// Every trunk in the file, by prefix.
std::vector<TrunkNames> find_trunks(std::span<const FileTensor> tensors, const TensorIndex& index);

/// The one that is meant: that of `wanted` ("module.encoder_q"; ".": no prefix; empty: any), or the only one that is no
/// moving average of another. Error{data} naming what is there when there is none, or more than one. Says what it
/// passed over in `notices`.
TrunkNames choose_trunk(const std::vector<TrunkNames>& found, const std::string& wanted,
                        std::vector<std::string>& notices);

/// Names of blocks under a trunk: the largest number of each layer plus one.
std::array<int, 4> count_blocks(std::span<const FileTensor> tensors, const TrunkNames& names);

}  // namespace dcl
