#include "train/state_names.h"

#include <algorithm>
#include <optional>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/number.h"

namespace dcl {
namespace {

/// Bounds of what is listed or tried, so that a file made for it cannot make this slow or its message long.
constexpr size_t kMaxTrunks = 64, kListedTrunks = 6;
constexpr int kMaxBlocks = 1000;

/// Tensors of a ResNet's first block, one of which is enough to find it.
constexpr std::string_view kAnchors[] = {"conv1.weight", "conv2.weight"};

std::string_view first_component(std::string_view name) { return name.substr(0, name.find('.')); }

std::optional<int> number(std::string_view text) {
  const auto value = parse_number<int>(text);
  return value && *value >= 0 && *value <= kMaxBlocks ? value : std::nullopt;
}

/// What stands before `tail` in `name`, when that is whole components.
std::optional<std::string_view> before(std::string_view name, std::string_view tail) {
  if (!name.ends_with(tail)) return std::nullopt;
  name.remove_suffix(tail.size());
  if (!name.empty() && !name.ends_with('.')) return std::nullopt;
  return name;
}

bool has_block(const TensorIndex& index, const std::string& block) {
  return std::ranges::any_of(kAnchors,
                             [&](std::string_view anchor) { return index.contains(block + std::string(anchor)); });
}

/// Whether a component of a prefix says that the network under it follows another one's weights.
bool is_moving_average(std::string_view prefix) {
  for (std::string_view rest = prefix; !rest.empty();) {
    const std::string_view word = first_component(rest);
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    for (const std::string_view part : {"momentum", "teacher", "target", "ema_", "_ema"})
      if (word.find(part) != word.npos) return true;
    if (word == "ema" || word.ends_with("_k")) return true;
  }
  return false;
}

std::string list_of(const std::vector<TrunkNames>& trunks) {
  std::string out;
  for (size_t i = 0; i < std::min(trunks.size(), kListedTrunks); ++i)
    out += (i ? ", " : "") + quoted(std::string(trunks[i].model_prefix()));
  return out + (trunks.size() > kListedTrunks ? ", ..." : "");
}

}  // namespace

TensorIndex index_of(std::span<const FileTensor> tensors) {
  TensorIndex index;
  for (const FileTensor& tensor : tensors) index.emplace(tensor.name, &tensor);
  return index;
}

std::string TrunkNames::of(std::string_view published, Stem stem) const {
  std::string_view rest = published.substr(2);  // "f."
  const int place = number(first_component(rest)).value_or(0);
  rest.remove_prefix(std::min(rest.size(), rest.find('.')));
  std::string module;
  if (place < 2) {
    module = torchvision ? (place == 0 ? "conv1" : "bn1") : std::to_string(place);
  } else {
    const int layer = place - (stem == Stem::imagenet ? 4 : 3);
    module = torchvision ? "layer" + std::to_string(layer + 1) : std::to_string(first_layer + layer);
  }
  std::string name = prefix + module + std::string(rest);
  constexpr std::string_view kDownsample = ".downsample.";
  if (const size_t at = name.rfind(kDownsample); shortcut && at != name.npos)
    name.replace(at, kDownsample.size(), ".shortcut.");
  return name;
}

bool TrunkNames::is_trunk(std::string_view rest) const {
  const std::string_view module = first_component(rest);
  if (!torchvision) return number(module).has_value();
  return module == "conv1" || module == "bn1" || (module.starts_with("layer") && number(module.substr(5)));
}

bool TrunkNames::published() const { return before(prefix, "f.").has_value(); }

std::string_view TrunkNames::model_prefix() const { return before(prefix, "f.").value_or(prefix); }

std::string TrunkNames::examples() const {
  const std::string layer = torchvision ? "layer1" : std::to_string(first_layer);
  return std::string(torchvision ? "conv1" : "0") + ".weight, " + layer + ".0.conv1.weight";
}

std::vector<TrunkNames> find_trunks(std::span<const FileTensor> tensors, const TensorIndex& index) {
  std::vector<TrunkNames> found;
  std::set<std::pair<std::string_view, bool>> seen;
  const auto add = [&](std::string_view prefix, bool torchvision) {
    if (found.size() >= kMaxTrunks || !seen.emplace(prefix, torchvision).second) return;
    TrunkNames names{std::string(prefix), torchvision};
    if (!torchvision && !has_block(index, names.prefix + "3.0.")) names.first_layer = 4;
    const std::string layer1 = torchvision ? "layer1.0." : std::to_string(names.first_layer) + ".0.";
    const std::string layer2 = torchvision ? "layer2.0." : std::to_string(names.first_layer + 1) + ".0.";
    names.shortcut = index.contains(names.prefix + layer1 + "shortcut.0.weight") ||
                     index.contains(names.prefix + layer2 + "shortcut.0.weight");
    found.push_back(std::move(names));
  };
  for (const FileTensor& tensor : tensors)
    for (const std::string_view anchor : kAnchors) {
      const auto block = before(tensor.name, anchor);
      if (!block) continue;
      if (const auto prefix = before(*block, "layer1.0.")) add(*prefix, true);
      for (const char* layer : {"3.0.", "4.0."})
        if (const auto prefix = before(*block, layer)) add(*prefix, false);
    }
  return found;
}

TrunkNames choose_trunk(const std::vector<TrunkNames>& found, const std::string& wanted,
                        std::vector<std::string>& notices) {
  if (found.empty())
    fail(ErrorKind::data,
         "it holds no ResNet: no tensor is called 'layer1.0.conv1.weight' or 'f.3.0.conv1.weight', "
         "whatever stands before");
  std::vector<TrunkNames> meant;
  if (!wanted.empty()) {
    const std::string prefix = wanted == "." ? "" : wanted + (wanted.ends_with('.') ? "" : ".");
    for (const TrunkNames& names : found)
      if (names.prefix == prefix || names.model_prefix() == prefix) meant.push_back(names);
    if (meant.empty())
      fail(ErrorKind::data, "it holds no ResNet under " + quoted(prefix) + ", but under " + list_of(found));
    return meant.front();
  }
  std::vector<TrunkNames> followers;
  for (const TrunkNames& names : found) (is_moving_average(names.prefix) ? followers : meant).push_back(names);
  if (meant.empty()) std::swap(meant, followers);
  if (meant.size() > 1)
    fail(ErrorKind::data, "it holds more than one ResNet, under " + list_of(meant) + "; choose with --model_prefix");
  if (!followers.empty())
    notices.push_back("passed over the moving average under " + list_of(followers) +
                      "; --model_prefix takes it instead");
  return meant.front();
}

std::array<int, 4> count_blocks(std::span<const FileTensor> tensors, const TrunkNames& names) {
  std::array<int, 4> blocks{};
  for (const FileTensor& tensor : tensors) {
    if (!tensor.name.starts_with(names.prefix)) continue;
    std::string_view rest = std::string_view(tensor.name).substr(names.prefix.size());
    std::string_view module = first_component(rest);
    rest.remove_prefix(std::min(rest.size(), module.size() + 1));
    if (names.torchvision && !module.starts_with("layer")) continue;
    if (names.torchvision) module.remove_prefix(5);
    const auto place = number(module), block = number(first_component(rest));
    if (!place || !block || rest.find('.') == rest.npos) continue;
    const int layer = *place - (names.torchvision ? 1 : names.first_layer);
    if (layer >= 0 && layer < 4)
      blocks[static_cast<size_t>(layer)] = std::max(blocks[static_cast<size_t>(layer)], *block + 1);
  }
  return blocks;
}

}  // namespace dcl
