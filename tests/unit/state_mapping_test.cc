// Which network a list of names and shapes is, and what is said of it. Lists begin as those of the published class
// (counted against PyTorch in parameters_test.cc) and are renamed here by rules of this file.
#include "train/state_mapping.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "core/error.h"

namespace dcl {
namespace {

using Names = std::vector<FileTensor>;

Names published(const std::string& arch = "resnet18", Stem stem = Stem::cifar, bool head = true) {
  Names names;
  for (const ParameterEntry& entry : parameter_layout({.arch = arch, .stem = stem, .head = head}))
    names.push_back({.name = entry.name,
                     .dtype = entry.kind == ParameterKind::batches_tracked ? FileDType::i64 : FileDType::f32,
                     .shape = entry.shape});
  return names;
}

Names renamed(Names names, const std::function<std::string(const std::string&)>& rule) {
  for (FileTensor& tensor : names) tensor.name = rule(tensor.name);
  return names;
}
Names prefixed(const std::string& prefix, Names names) {
  return renamed(std::move(names), [&](const std::string& name) { return prefix + name; });
}
Names joined(Names a, const Names& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// f.0 -> conv1, f.1 -> bn1, f.3.0.conv1 -> layer1.0.conv1; only for lists without head.
Names torchvision(const std::string& arch = "resnet18", Stem stem = Stem::cifar) {
  const int first = stem == Stem::cifar ? 3 : 4;
  return renamed(published(arch, stem, false), [&](const std::string& name) {
    const int place = name[2] - '0';
    const std::string rest = name.substr(3);
    return (place == 0 ? "conv1" : place == 1 ? "bn1" : "layer" + std::to_string(place - first + 1)) + rest;
  });
}

/// The places in nn.Sequential(*children) of a ResNet whose max-pool keeps its own.
Names sequential(const std::string& prefix, Stem stem) {
  return renamed(published("resnet18", stem, false), [&](const std::string& name) {
    const int place = name[2] - '0';
    return prefix + std::to_string(stem == Stem::cifar && place >= 3 ? place + 1 : place) + name.substr(3);
  });
}

FileTensor tensor(const std::string& name, std::vector<int64_t> shape, FileDType dtype = FileDType::f32) {
  return {.name = name, .dtype = dtype, .shape = std::move(shape)};
}
FileTensor& at(Names& names, const std::string& name) {
  const auto found = std::ranges::find(names, name, &FileTensor::name);
  if (found == names.end()) throw std::logic_error("the test has no " + name);
  return *found;
}
void drop(Names& names, const std::string& name) {
  ASSERT_EQ(std::erase_if(names, [&](const FileTensor& t) { return t.name == name; }), 1u) << name;
}

/// Every tensor of the model has its own, of its shape, and the list has nothing that ends like it elsewhere.
void expect_complete(const StateMapping& mapping, size_t tensors) {
  EXPECT_EQ(mapping.tensors.size(), tensors);
  for (const MappedTensor& mapped : mapping.tensors) {
    ASSERT_TRUE(mapped.source) << mapped.entry.name;
    EXPECT_EQ(mapped.source->shape, mapped.entry.shape) << mapped.entry.name;
    const std::string& name = mapped.entry.name;
    const std::string tail = name.substr(name.find('.', name.starts_with("f.") ? 2 : 0));
    EXPECT_TRUE(mapped.source->name.ends_with(tail)) << name << " from " << mapped.source->name;
  }
}

void expect_notice(const StateMapping& mapping, const std::string& text) {
  for (const std::string& notice : mapping.notices)
    if (notice == text) return;
  std::string all;
  for (const std::string& notice : mapping.notices) all += "\n  " + notice;
  ADD_FAILURE() << "no notice '" << text << "' in:" << all;
}

std::string refusal(const Names& names, const std::string& prefix = "") {
  try {
    map_state(names, prefix);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  ADD_FAILURE() << "accepted";
  return "";
}
void expect_in(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
}

// ---- What is understood ---------------------------------------------------------------------------------------------

TEST(StateMapping, PublishedNamesOfEveryArchitectureNeedNoAssumption) {
  for (const auto& [arch, tensors] :
       {std::pair{"resnet18", 128u}, {"resnet34", 224u}, {"resnet50", 326u}, {"resnet101", 632u}})
    for (const Stem stem : {Stem::cifar, Stem::imagenet}) {
      const Names names = published(arch, stem);
      const StateMapping mapping = map_state(names);
      EXPECT_EQ(mapping.config, (ModelConfig{.arch = arch, .stem = stem}));
      expect_complete(mapping, tensors);
      for (const MappedTensor& mapped : mapping.tensors) EXPECT_EQ(mapped.entry.name, mapped.source->name);
      EXPECT_EQ(mapping.notices, std::vector<std::string>{"arch " + model_text(mapping.config)});
    }
}

TEST(StateMapping, SummaryNamesArchStemAndHead) {
  EXPECT_EQ(model_text({.arch = "resnet50"}), "resnet50, CIFAR stem, head 512-128");
  EXPECT_EQ(model_text({.arch = "resnet18", .stem = Stem::imagenet, .head = false}),
            "resnet18, ImageNet stem, no projection head");
}

TEST(StateMapping, WidthsOfTheHeadAreThoseOfTheFile) {
  Names names;
  for (const ParameterEntry& entry : parameter_layout({.arch = "resnet18", .feature_dim = 64, .hidden_dim = 256}))
    names.push_back(tensor(entry.name, entry.shape));
  EXPECT_EQ(map_state(names).config, (ModelConfig{.arch = "resnet18", .feature_dim = 64, .hidden_dim = 256}));
}

TEST(StateMapping, PrefixesAreStrippedWhateverTheyAre) {
  for (const std::string prefix :
       {"module.", "net.", "model.", "state_dict.module.", "state_dict.model.encoder.module."}) {
    const Names names = prefixed(prefix, published("resnet50"));
    const StateMapping mapping = map_state(names);
    expect_complete(mapping, 326);
    EXPECT_EQ(mapping.config, (ModelConfig{}));
    expect_notice(mapping, "stripped prefix '" + prefix + "' from 326 keys");
  }
}

TEST(StateMapping, TorchvisionNames) {
  for (const Stem stem : {Stem::cifar, Stem::imagenet})
    for (const std::string prefix : {"", "module.", "backbone.", "module.encoder.", "encoder."}) {
      const Names names = joined(prefixed(prefix, torchvision("resnet50", stem)),
                                 {tensor(prefix + "fc.weight", {1000, 2048}), tensor(prefix + "fc.bias", {1000})});
      const StateMapping mapping = map_state(names);
      EXPECT_EQ(mapping.config.arch, "resnet50");
      EXPECT_EQ(mapping.config.stem, stem);
      EXPECT_FALSE(mapping.config.head);
      expect_complete(mapping, 318);
      expect_notice(mapping, "ignored what is not the encoder: '" + prefix + "fc' (2 tensors)");
      expect_notice(mapping, "names taken as the published ones: conv1.weight, layer1.0.conv1.weight (torchvision)");
      if (stem == Stem::cifar)
        expect_notice(mapping, "assumed of the 3 x 3 first convolution: stride 1, no max-pool behind it");
    }
}

TEST(StateMapping, LayersKeepTheirPlaces) {
  const Names names = torchvision("resnet34", Stem::imagenet);
  std::map<std::string, std::string> places;
  for (const MappedTensor& mapped : map_state(names).tensors) places[mapped.entry.name] = mapped.source->name;
  EXPECT_EQ(places["f.4.0.conv1.weight"], "layer1.0.conv1.weight");
  EXPECT_EQ(places["f.5.0.downsample.1.bias"], "layer2.0.downsample.1.bias");
  EXPECT_EQ(places["f.7.2.bn2.running_var"], "layer4.2.bn2.running_var");
}

TEST(StateMapping, PlacesInASequence) {
  for (const Stem stem : {Stem::cifar, Stem::imagenet}) {
    const Names names = sequential("backbone.", stem);
    const StateMapping mapping = map_state(names);
    expect_complete(mapping, 120);
    EXPECT_EQ(mapping.config.stem, stem);
    expect_notice(mapping, "stripped prefix 'backbone.' from 120 keys");
    expect_notice(mapping, "names taken as the published ones: 0.weight, 4.0.conv1.weight (nn.Sequential)");
  }
  const Names bare =
      renamed(published("resnet18", Stem::cifar, false), [](const std::string& name) { return name.substr(2); });
  expect_complete(map_state(bare), 120);
}

TEST(StateMapping, PublishedClassThatKeepsThePlaceOfTheMaxPool) {
  const Names names = sequential("f.", Stem::cifar);
  const StateMapping mapping = map_state(names);
  expect_complete(mapping, 120);
  EXPECT_EQ(mapping.config.stem, Stem::cifar);
  expect_notice(mapping, "assumed of the 3 x 3 first convolution: stride 1, no max-pool behind it");
}

TEST(StateMapping, ShortcutIsDownsample) {
  const Names names = renamed(torchvision(), [](std::string name) {
    if (const size_t at = name.find("downsample"); at != name.npos) name.replace(at, 10, "shortcut");
    return name;
  });
  EXPECT_TRUE(map_state(names).names.shortcut);
  for (const MappedTensor& mapped : map_state(names).tensors) ASSERT_TRUE(mapped.source) << mapped.entry.name;
}

TEST(StateMapping, EverythingBesideTheEncoderIsLeftOutAndSaid) {
  Names names = prefixed("state_dict.module.encoder_q.", torchvision());
  for (const FileTensor& t : prefixed("state_dict.module.encoder_k.", torchvision())) names.push_back(t);
  names.push_back(tensor("state_dict.module.queue", {128, 65536}));
  names.push_back(tensor("state_dict.module.encoder_q.fc.0.weight", {512, 512}));
  names.push_back(tensor("optimizer.state.0.exp_avg", {64, 3, 3, 3}));
  names.push_back(tensor("optimizer.state.0.step", {}));
  const StateMapping mapping = map_state(names);
  for (const MappedTensor& mapped : mapping.tensors)
    EXPECT_TRUE(mapped.source->name.starts_with("state_dict.module.encoder_q."));
  expect_notice(mapping,
                "passed over the moving average under 'state_dict.module.encoder_k.'; --model_prefix takes it instead");
  expect_notice(
      mapping,
      "ignored what is not the encoder: 'optimizer' (2 tensors), 'state_dict.module.encoder_k' (120 tensors), "
      "'state_dict.module.encoder_q.fc' (1 tensor), 'state_dict.module.queue' (1 tensor)");
  const StateMapping other = map_state(names, "state_dict.module.encoder_k");
  EXPECT_TRUE(other.tensors.front().source->name.starts_with("state_dict.module.encoder_k."));
}

TEST(StateMapping, ProfilerCountersAreIgnored) {
  const Names names =
      joined(published(), {tensor("total_ops", {1}, FileDType::f64), tensor("f.0.total_ops", {1}, FileDType::f64),
                           tensor("f.0.total_params", {1}, FileDType::f64)});
  expect_notice(map_state(names), "ignored 3 counters of the profiler thop (total_ops, total_params)");
}

TEST(StateMapping, CountersOfOldFilesMayBeMissingOrHaveOneElement) {
  Names names = published();
  for (FileTensor& t : names)
    if (t.name.ends_with("num_batches_tracked")) t.shape = {1};
  EXPECT_NO_THROW(map_state(names));
  std::erase_if(names, [](const FileTensor& t) { return t.name.ends_with("num_batches_tracked"); });
  const StateMapping mapping = map_state(names);
  EXPECT_TRUE(mapping.config.head);
  expect_notice(mapping, "21 num_batches_tracked counters missing, as in files before PyTorch 0.4.1: taken as 0");
}

TEST(StateMapping, OtherFloatingTypesAreConverted) {
  Names names = published();
  for (FileTensor& t : names) t.dtype = t.name.starts_with("g.") ? FileDType::f64 : FileDType::f16;
  const StateMapping mapping = map_state(names);
  expect_notice(mapping, "100 tensors of F16, which the encoder takes as F32");
  expect_notice(mapping, "7 tensors of F64, which the encoder takes as F32");
}

TEST(StateMapping, AnotherHeadIsNotNeeded) {
  Names names = published();
  at(names, "g.3.weight").shape = {128, 400};
  const StateMapping mapping = map_state(names);
  EXPECT_FALSE(mapping.config.head);
  expect_notice(mapping, "ignored what is not the encoder: 'g' (8 tensors)");
  names = published();
  at(names, "g.0.weight").shape = {int64_t{1} << 61, 0};  // no elements, so that a file may well say it
  EXPECT_FALSE(map_state(names).config.head);
}

// ---- What is refused ------------------------------------------------------------------------------------------------

TEST(StateMapping, DifferencesAreSaidInTheWordsOfPyTorch) {
  Names names = prefixed("module.", published());
  at(names, "module.f.0.weight").shape = {64, 1, 3, 3};
  drop(names, "module.f.1.weight");
  drop(names, "module.f.5.1.conv2.weight");
  names.push_back(tensor("module.f.3.0.se.weight", {64}));
  const std::string text = refusal(names);
  expect_in(text, "Error(s) in loading state_dict for resnet18:");
  expect_in(text, "Missing key(s) in state_dict: \"module.f.1.weight\", \"module.f.5.1.conv2.weight\".");
  expect_in(text, "Unexpected key(s) in state_dict: \"module.f.3.0.se.weight\".");
  expect_in(
      text,
      "size mismatch for module.f.0.weight: copying a param with shape torch.Size([64, 1, 3, 3]) from checkpoint, the "
      "shape in current model is torch.Size([64, 3, 3, 3]).");
}

TEST(StateMapping, EveryTensorOfTheTrunkIsNeeded) {
  const Names whole = torchvision();
  for (const FileTensor& missing : whole) {
    if (missing.name.ends_with("num_batches_tracked")) continue;
    Names names = whole;
    drop(names, missing.name);
    expect_in(refusal(names), "Missing key(s) in state_dict: \"" + missing.name + "\"");
  }
}

TEST(StateMapping, LongListsAreCut) {
  Names names = published();
  std::erase_if(names, [](const FileTensor& t) { return t.name.ends_with("running_mean"); });
  expect_in(refusal(names), " and 10 more.");
}

TEST(StateMapping, UnknownModulesBesideTheLayersAreUnexpected) {
  expect_in(refusal(joined(torchvision(), {tensor("attention.weight", {512, 512})})),
            "Unexpected key(s) in state_dict: \"attention.weight\"");
  expect_in(refusal(joined(torchvision(), {tensor("layer5.0.conv1.weight", {512, 512, 3, 3})})),
            "\"layer5.0.conv1.weight\"");
}

TEST(StateMapping, NetworksThatAreNotComputed) {
  expect_in(refusal({}), "holds no ResNet");
  expect_in(refusal({tensor("patch_embed.proj.weight", {768, 3, 16, 16})}), "holds no ResNet");
  Names deeper = torchvision("resnet50");
  for (int block = 4; block < 8; ++block)
    deeper.push_back(tensor("layer2." + std::to_string(block) + ".conv1.weight", {128, 512, 1, 1}));
  expect_in(refusal(deeper), "3-8-6-3 blocks of three convolutions");
  Names window = published();
  at(window, "f.0.weight").shape = {64, 3, 5, 5};
  expect_in(refusal(window), "[64, 3, 5, 5]");
  Names no_pool = published();
  at(no_pool, "f.0.weight").shape = {64, 3, 7, 7};
  expect_in(refusal(no_pool), "without the max-pool");
  Names wide = torchvision("resnet50", Stem::imagenet);
  for (FileTensor& t : wide)
    if (t.name == "layer1.0.conv1.weight") t.shape = {128, 64, 1, 1};
  expect_in(refusal(wide), "size mismatch for layer1.0.conv1.weight");
}

TEST(StateMapping, SeveralNetworksMustBeChosenFrom) {
  const Names names = joined(prefixed("a.", published()), prefixed("b.", torchvision()));
  const std::string text = refusal(names);
  expect_in(text, "more than one ResNet, under 'a.', 'b.'");
  expect_in(text, "--model_prefix");
  EXPECT_EQ(map_state(names, "b").names.prefix, "b.");
  EXPECT_EQ(map_state(names, "a.").names.prefix, "a.f.");
  expect_in(refusal(names, "c"), "no ResNet under 'c.', but under 'a.', 'b.'");
  const Names nested = joined(torchvision(), prefixed("b.", torchvision()));
  EXPECT_EQ(map_state(nested, ".").names.prefix, "");
}

TEST(StateMapping, IntegersAreNoWeights) {
  Names names = published();
  at(names, "f.0.weight").dtype = FileDType::i8;
  expect_in(refusal(names), "f.0.weight is I8, expected a floating type");
}

TEST(StateMapping, NamesFromOutsideStayOnOneLine) {
  expect_in(refusal(joined(torchvision(), {tensor("layer1.0.a\nb", {1})})), "layer1.0.a\\nb");
}

TEST(StateMapping, ManyNetworksEndQuickly) {
  Names names;
  for (int i = 0; i < 50000; ++i)
    names.push_back(tensor(std::to_string(i) + "x.layer1.0.conv1.weight", {64, 64, 3, 3}));
  expect_in(refusal(names), "more than one ResNet");
}

}  // namespace
}  // namespace dcl
