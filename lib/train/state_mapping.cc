#include "train/state_mapping.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "nn/resnet.h"
#include "train/state_difference.h"

namespace dcl {
namespace {

constexpr size_t kListedGroups = 6;
constexpr int64_t kMaxHeadWidth = 1 << 20;

std::string count_text(size_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

std::string_view last_component(std::string_view name) {
  const size_t dot = name.rfind('.');
  return dot == name.npos ? name : name.substr(dot + 1);
}

/// Buffers that the profiler thop leaves in a model.
bool is_profile(std::string_view name) {
  return last_component(name) == "total_ops" || last_component(name) == "total_params";
}

/// Modules beside a trunk that take its features or have nothing to do with them.
bool is_head(std::string_view module) {
  if (module == "g") return true;
  for (const std::string_view word :
       {"fc", "linear", "head", "classif", "proj", "pred", "mlp", "prototypes", "queue", "optim"})
    if (module.starts_with(word)) return true;
  return false;
}

class Mapper {
 public:
  explicit Mapper(std::span<const FileTensor> tensors) : tensors_(tensors), index_(index_of(tensors)) {}

  StateMapping map(const std::string& prefix, bool classifier) {
    trunks_ = find_trunks(tensors_, index_);
    result_.names = choose_trunk(trunks_, prefix, result_.notices);
    result_.config.head = false;
    find_stem();
    find_arch();
    map_entries(parameter_layout(result_.config));
    map_head();
    describe_names();
    if (classifier) map_linear();
    sort_out_the_rest();
    if (!difference_.empty()) fail(ErrorKind::data, difference_.text(result_.config.arch));
    describe_types();
    return std::move(result_);
  }

 private:
  void note(std::string text) { result_.notices.push_back(std::move(text)); }
  const FileTensor* find(std::string_view name) const {
    const auto found = index_.find(name);
    return found == index_.end() ? nullptr : found->second;
  }

  void find_stem();
  void find_arch();
  std::string file_name(const ParameterEntry& entry) const;
  void map_entries(std::span<const ParameterEntry> entries);
  void map_head();
  std::string_view classifier_of(std::string_view weight) const;
  void map_linear();
  void describe_names();
  bool is_unexpected(std::string_view name) const;
  void sort_out_the_rest();
  void describe_types();

  std::span<const FileTensor> tensors_;
  TensorIndex index_;
  std::vector<TrunkNames> trunks_;
  StateMapping result_;
  StateDifference difference_;
  std::set<const FileTensor*> used_;
  size_t missing_counters_ = 0;
};

void Mapper::find_stem() {
  const TrunkNames& names = result_.names;
  const bool pool_has_place = !names.torchvision && names.first_layer == 4;
  result_.config.stem = pool_has_place ? Stem::imagenet : Stem::cifar;
  const std::string name = names.prefix + (names.torchvision ? "conv1.weight" : "0.weight");
  const FileTensor* conv = find(name);
  if (!conv || conv->shape.size() != 4) return;  // reported as missing or of another size
  const int64_t window = conv->shape[2];
  if (window != 3 && window != 7)
    fail(ErrorKind::data, "its first convolution " + quoted(name) + " is " + shape_text(conv->shape) +
                              ", expected a window of 3 x 3 (CIFAR stem) or 7 x 7 (ImageNet stem)");
  result_.config.stem = window == 3 ? Stem::cifar : Stem::imagenet;
  if (window == 7 && !names.torchvision && !pool_has_place)
    fail(ErrorKind::data,
         "it has a 7 x 7 first convolution without the max-pool behind it (layer1 is module 3), a network "
         "that this program does not compute");
  if (window == 3 && (names.torchvision || pool_has_place))
    note("assumed of the 3 x 3 first convolution: stride 1, no max-pool behind it");
}

void Mapper::find_arch() {
  const TrunkNames& names = result_.names;
  const std::array<int, 4> blocks = count_blocks(tensors_, names);
  const std::string layer1 = names.torchvision ? "layer1" : std::to_string(names.first_layer);
  const bool bottleneck = find(names.prefix + layer1 + ".0.conv3.weight");
  for (const Architecture& known : architectures())
    if (known.blocks == blocks && known.bottleneck == bottleneck) {
      result_.config.arch = known.name;
      return;
    }
  std::string counts;
  for (const int count : blocks) counts += (counts.empty() ? "" : "-") + std::to_string(count);
  fail(ErrorKind::data, "it holds a ResNet of " + counts + " blocks of " + (bottleneck ? "three" : "two") +
                            " convolutions, expected ResNet-18 (2-2-2-2 of two), 34 (3-4-6-3 of two), 50 (3-4-6-3 of "
                            "three) or 101 (3-4-23-3 of three)");
}

std::string Mapper::file_name(const ParameterEntry& entry) const {
  if (entry.name.starts_with("f.")) return result_.names.of(entry.name, result_.config.stem);
  return std::string(result_.names.model_prefix()) + entry.name;
}

void Mapper::map_entries(std::span<const ParameterEntry> entries) {
  for (const ParameterEntry& entry : entries) {
    const std::string name = file_name(entry);
    const FileTensor* source = find(name);
    const bool counter = entry.kind == ParameterKind::batches_tracked;
    result_.tensors.push_back({entry, source});
    if (!source) {
      counter ? void(++missing_counters_) : difference_.add_missing(name);
      continue;
    }
    used_.insert(source);
    // num_batches_tracked is [] in PyTorch; files of the first releases that had it store [1].
    const bool fits = source->shape == entry.shape || (counter && source->shape == std::vector<int64_t>{1});
    if (!fits)
      difference_.add_size(*source, entry.shape);
    else if (!counter && !is_floating(source->dtype))
      difference_.add_type(*source);
  }
}

/// The published head is part of the model when it is there whole; the encoder does not need it.
void Mapper::map_head() {
  if (!result_.names.published()) return;
  const std::string prefix(result_.names.model_prefix());
  const FileTensor *hidden = find(prefix + "g.0.weight"), *projection = find(prefix + "g.3.weight");
  if (!hidden || !projection || hidden->shape.size() != 2 || projection->shape.size() != 2) return;
  ModelConfig config = result_.config;
  config.head = true;
  config.hidden_dim = hidden->shape[0];
  config.feature_dim = projection->shape[0];
  const auto usable = [](int64_t width) { return width >= 1 && width <= kMaxHeadWidth; };
  if (!usable(config.hidden_dim) || !usable(config.feature_dim)) return;
  const std::vector<ParameterEntry> layout = parameter_layout(config);
  const std::span head = std::span(layout).subspan(result_.tensors.size());
  const bool whole = std::ranges::all_of(head, [&](const ParameterEntry& entry) {
    const FileTensor* source = find(prefix + entry.name);
    return entry.kind == ParameterKind::batches_tracked || (source && source->shape == entry.shape);
  });
  if (!whole) return;
  result_.config = config;
  map_entries(head);
}

/// The module around the trunk that a weight is of, where it is called as a classifier; "" otherwise.
std::string_view Mapper::classifier_of(std::string_view weight) const {
  constexpr std::string_view kWeight = ".weight";
  if (!weight.ends_with(kWeight)) return {};
  const std::string_view module = weight.substr(0, weight.size() - kWeight.size()), word = last_component(module);
  if (word != "fc" && word != "classifier" && word != "linear") return {};
  return result_.names.prefix.starts_with(module.substr(0, module.size() - word.size())) ? module : std::string_view();
}

void Mapper::map_linear() {
  const int64_t width = feature_width(result_.config);
  std::vector<std::string> found;
  for (const FileTensor& tensor : tensors_) {
    const std::string_view module = classifier_of(tensor.name);
    if (module.empty() || tensor.shape.size() != 2 || tensor.shape[0] < 1 || tensor.shape[1] != width) continue;
    const FileTensor* bias = find(std::string(module) + ".bias");
    if (!bias || bias->shape != std::vector<int64_t>{tensor.shape[0]}) continue;
    if (!is_floating(tensor.dtype) || !is_floating(bias->dtype)) continue;
    result_.linear = {&tensor, bias};
    used_.insert({&tensor, bias});
    found.emplace_back(module);
  }
  if (found.size() > 1) {
    result_.linear = {};
    note("several classifiers, of which none is taken: " + name_list(found));
  } else if (!found.empty()) {
    note("classifier " + dcl::quoted(found[0]) + ": " +
         count_text(static_cast<size_t>(result_.linear.classes()), "output"));
  }
}

void Mapper::describe_names() {
  const TrunkNames& names = result_.names;
  note("arch " + model_text(result_.config));
  if (const std::string prefix(names.model_prefix()); !prefix.empty()) {
    const auto under = std::ranges::count_if(used_, [&](const FileTensor* t) { return t->name.starts_with(prefix); });
    note("stripped prefix " + quoted(prefix) + " from " + count_text(static_cast<size_t>(under), "key"));
  }
  const bool as_published =
      names.published() && !names.torchvision && (names.first_layer == 4) == (result_.config.stem == Stem::imagenet);
  if (!as_published)
    note("names taken as the published ones: " + names.examples() +
         (names.torchvision ? " (torchvision)" : " (nn.Sequential)") +
         (names.shortcut ? ", shortcut for downsample" : ""));
  if (missing_counters_ > 0)
    note(count_text(missing_counters_, "num_batches_tracked counter") +
         " missing, as in files before PyTorch 0.4.1: taken as 0");
}

/// Under the trunk's prefix, but neither known nor of a head or another trunk: what such a tensor does is not computed.
bool Mapper::is_unexpected(std::string_view name) const {
  const std::string& prefix = result_.names.prefix;
  if (!name.starts_with(prefix)) return false;
  const std::string_view rest = name.substr(prefix.size());
  const bool of_another = std::ranges::any_of(trunks_, [&](const TrunkNames& other) {
    return other.prefix.size() > prefix.size() && name.starts_with(other.prefix);
  });
  return !of_another && !is_head(rest) && (result_.names.is_trunk(rest) || rest.find('.') != rest.npos);
}

void Mapper::sort_out_the_rest() {
  const TrunkNames& names = result_.names;
  std::map<std::string, size_t> groups;
  size_t profile = 0;
  for (const FileTensor& tensor : tensors_) {
    if (used_.contains(&tensor)) continue;
    const std::string_view name = tensor.name;
    if (is_profile(name)) {
      ++profile;
      continue;
    }
    if (is_unexpected(name)) {
      difference_.add_unexpected(name);
      continue;
    }
    // Named by the first component in which it leaves the path to the trunk.
    size_t same = 0;
    for (size_t i = 0; i < std::min(name.size(), names.prefix.size()) && name[i] == names.prefix[i]; ++i)
      if (name[i] == '.') same = i + 1;
    ++groups[std::string(name.substr(0, name.find('.', same)))];
  }
  if (profile > 0)
    note("ignored " + count_text(profile, "counter") + " of the profiler thop (total_ops, total_params)");
  if (groups.empty()) return;
  std::string text;
  size_t listed = 0;
  for (const auto& [group, count] : groups) {
    if (listed++ == kListedGroups) break;
    text += (text.empty() ? "" : ", ") + quoted(group) + " (" + count_text(count, "tensor") + ")";
  }
  note("ignored what is not the encoder: " + text + (groups.size() > kListedGroups ? ", ..." : ""));
}

void Mapper::describe_types() {
  std::map<std::string_view, size_t> types;
  for (const MappedTensor& tensor : result_.tensors)
    if (tensor.source && tensor.entry.kind != ParameterKind::batches_tracked && tensor.source->dtype != FileDType::f32)
      ++types[name_of(tensor.source->dtype)];
  for (const auto& [type, count] : types)
    note(count_text(count, "tensor") + " of " + std::string(type) + ", which the encoder takes as F32");
}

}  // namespace

std::string model_text(const ModelConfig& config) {
  return config.arch + ", " + (config.stem == Stem::cifar ? "CIFAR" : "ImageNet") + " stem, " +
         (config.head ? "head " + std::to_string(config.hidden_dim) + "-" + std::to_string(config.feature_dim)
                      : "no projection head");
}

StateMapping map_state(std::span<const FileTensor> tensors, const std::string& prefix, bool classifier) {
  return Mapper(tensors).map(prefix, classifier);
}

}  // namespace dcl
