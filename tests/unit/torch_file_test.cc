// PyTorch files of both formats: views, containers, scalars, hostile files.
#include <filesystem>

#include "support/process.h"
#include "support/torch_bytes.h"

namespace dcl::test {
namespace {

// ---- Tensors --------------------------------------------------------------------------------------------------------

TEST(TorchFile, ReadsBothFormats) {
  const std::string zip = zip_with([](PickledParts&) {}), legacy = legacy_with([](auto&, auto&) {});
  EXPECT_EQ(values(zip), kSix);
  EXPECT_EQ(values(legacy), kSix);
  EXPECT_EQ(open_bytes(zip)->format(), "PyTorch, zip");
  EXPECT_EQ(open_bytes(legacy)->format(), "PyTorch, legacy");
  EXPECT_EQ(open_bytes(zip)->at("w").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_TRUE(open_bytes(zip)->notices().empty());
}

TEST(TorchFile, ReadsViews) {
  const auto view = [](int64_t offset, std::vector<int64_t> shape, std::vector<int64_t> strides) {
    return values(zip_with([&](PickledParts& p) { p.offset = offset, p.shape = shape, p.strides = strides; }));
  };
  using V = std::vector<float>;
  EXPECT_EQ(view(0, {3, 2}, {1, 3}), (V{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(view(1, {2}, {3}), (V{1, 4}));
  EXPECT_EQ(view(2, {2, 2}, {2, 1}), (V{2, 3, 4, 5}));
  EXPECT_EQ(view(5, {}, {}), (V{5}));
  EXPECT_EQ(view(4, {2, 2}, {0, 1}), (V{4, 5, 4, 5}));
  EXPECT_EQ(view(0, {1, 6, 1}, {99, 1, 99}), kSix);
  EXPECT_EQ(view(6, {0, 4}, {4, 1}), V{});
  EXPECT_EQ(view(0, {2, 0, 4}, {1, 1, 1000}), V{});
}

/// A view that stands for the negatives of its storage's values says so beside them.
TEST(TorchFile, RefusesViewsOfAnotherSign) {
  const auto with = [](const std::string& metadata) {
    return zip_with([&](PickledParts& p) { p.metadata = metadata; });
  };
  refused(with(dict("neg", "\x88")), "save what its resolve_neg() gives");
  refused(with(dict("conj", "\x88")), "save what its resolve_conj() gives");
  refused(with("K\x01"), "argument 7");
  for (const std::string& metadata : {kNone, kEmptyDict, dict("neg", kFalse), dict("other", "\x88")})
    EXPECT_EQ(values(with(metadata)), kSix);
}

TEST(TorchFile, RefusesViewsBeyondTheirStorage) {
  const auto view = [](int64_t offset, std::vector<int64_t> shape, std::vector<int64_t> strides,
                       const std::string& words) {
    refused(zip_with([&](PickledParts& p) { p.offset = offset, p.shape = shape, p.strides = strides; }), words);
  };
  view(1, {6}, {1}, "reaches beyond its storage of 6");
  view(0, {7}, {1}, "reaches beyond");
  view(0, {2, 3}, {4, 1}, "reaches beyond");
  view(6, {}, {}, "reaches beyond");
  view(7, {0}, {1}, "begins beyond");
  view(-1, {2}, {1}, "begins before");
  view(5, {6}, {-1}, "negative size or stride");
  view(0, {-1}, {1}, "negative size or stride");
  view(0, {3}, {INT64_MAX}, "reaches beyond");
  view(INT64_MAX, {2}, {1}, "reaches beyond");
  view(0, {INT64_MAX, INT64_MAX}, {0, 0}, "overflows");
  view(0, {int64_t{1} << 40}, {0}, "repeat the same elements");
  view(0, {2, 3}, {1}, "one stride for each dimension");
  view(0, std::vector<int64_t>(9, 1), std::vector<int64_t>(9, 1), "more than 8 dimensions");
  // Through offsets in a storage's view.
  refused(legacy_with([](PickledParts& p, LegacyParts&) {
            p.view = tuple({text("v"), integer(2), integer(4)});
            p.shape = {5}, p.strides = {1};
          }),
          "reaches beyond its storage of 4");
}

TEST(TorchFile, ReadsViewsOfStoragesInOldFiles) {
  const std::string bytes = legacy_with([](PickledParts& p, LegacyParts&) {
    p.view = tuple({text("v"), integer(2), integer(4)});
    p.offset = 1, p.shape = {3}, p.strides = {1};
  });
  EXPECT_EQ(values(bytes), (std::vector<float>{3, 4, 5}));
}

TEST(TorchFile, ReadsOtherConstructors) {
  const PickledParts parts;
  const std::string storage = parts.storage(), place = integer(0) + integers({2, 3}) + integers({3, 1});
  const auto call = [](const std::string& function, const std::string& arguments) {
    return global("torch._utils", function) + kMark + arguments + kTuple + kReduce;
  };
  const std::string parameter = call("_rebuild_parameter", parts.tensor() + "\x88" + kEmptyDict);
  for (const std::string& tensor :
       {call("_rebuild_tensor", storage + place), parameter, parameter + kEmptyDict + kBuild,
        call("_rebuild_parameter_with_state", parts.tensor() + "\x88" + kEmptyDict + kNone),
        global("torch.nn.parameter", "Parameter") + tuple({parts.tensor()}) + "\x81"})
    EXPECT_EQ(values(torch_zip(whole(dict("w", tensor)))), kSix);

  // torch.nn.Buffer, or a tensor with attributes of its own.
  const auto typed = [](const std::string& function, const std::string& arguments) {
    return torch_zip(whole(
        dict("w", global("torch._tensor", "_rebuild_from_type_v2") +
                      tuple({function, global("torch", "Tensor"), arguments, dict("_is_buffer", "\x88")}) + kReduce)));
  };
  EXPECT_EQ(values(typed(parts.function, tuple({storage, place, kFalse, kEmptyDict}))), kSix);
  refused(typed(parts.function, kNone), "argument 3 of torch._tensor._rebuild_from_type_v2 is of another kind");
  refused(typed(parts.function, kEmptyTuple), "torch._utils._rebuild_tensor_v2 is called with 0 arguments");
  refused(typed(global("collections", "OrderedDict"), kEmptyTuple), "collections.OrderedDict, which makes no tensor");
  refused(typed(global("torch._tensor", "_rebuild_from_type_v2"), kEmptyTuple), "which makes no tensor");
  refused(typed(global("builtins", "eval"), kEmptyTuple), "refusing to execute 'builtins.eval'");

  PickledParts untyped;
  untyped.type = global("torch.storage", "UntypedStorage"), untyped.count = 24;
  const auto v3 = [&](const std::string& dtype) {
    return torch_zip(whole(dict("w", call("_rebuild_tensor_v3", untyped.storage() + place + kFalse + kEmptyDict +
                                                                    global("torch", dtype) + kEmptyDict))));
  };
  EXPECT_EQ(values(v3("float32")), kSix);
  refused(v3("float64"), "reaches beyond its storage of 3");
  for (const char* dtype : {"complex64", "uint16", "float8_e4m3fn", "float4_e2m1fn_x2", "bits8"})
    refused(v3(dtype), "data.pkl': unsupported dtype torch." + std::string(dtype));
  refused(torch_zip(whole(dict("w", call("_rebuild_tensor_v2", untyped.storage() + place + kFalse + kEmptyDict)))),
          "no element type");
}

TEST(TorchFile, ReadsPython2Strings) {
  PickledParts p;
  const std::string id =
      tuple({old_text("storage"), p.type, old_text("0"), old_text("cpu"), integer(6), kNone}) + kPersistentId;
  LegacyParts file;
  file.object = whole(kEmptyDict + old_text("w") + global("torch._utils", "_rebuild_tensor") +
                      tuple({id, integer(0), integers({6}), integers({1})}) + kReduce + kSetItem);
  file.keys = whole(kEmptyList + old_text("0") + kAppend);
  EXPECT_EQ(values(file.bytes()), kSix);
}

// ---- Containers -----------------------------------------------------------------------------------------------------

TEST(TorchFile, FlattensContainers) {
  const std::string tensor = PickledParts().tensor();
  const std::string state = kEmptyDict + integer(0) + dict("exp_avg", tensor) + kSetItem;
  const std::string groups = kEmptyList + dict("lr", text("0.1")) + kAppend;
  const std::string object = kEmptyDict + kMark + text("epoch") + integer(400) + text("state_dict") +
                             dict("f.0.weight", tensor) + text("optimizer") + kEmptyDict + kMark + text("state") +
                             state + text("param_groups") + groups + kSetItems + text("nothing") + kNone +
                             text("pair") + tuple({integer(1), tensor}) + kSetItems;
  const auto file = open_bytes(torch_zip(whole(object)));
  std::vector<std::string> names;
  for (const FileTensor& entry : file->tensors()) names.push_back(entry.container + "|" + std::string(entry.key()));
  EXPECT_EQ(names, (std::vector<std::string>{"state_dict|f.0.weight", "optimizer.state.0|exp_avg", "pair|1"}));
  EXPECT_EQ(file->read_f32("optimizer.state.0.exp_avg"), kSix);
  EXPECT_EQ(
      file->metadata(),
      (FileMetadata{{"epoch", "400"}, {"nothing", "None"}, {"optimizer.param_groups.0.lr", "0.1"}, {"pair.0", "1"}}));
}

TEST(TorchFile, LongListsAreNoMetadata) {
  const auto with_list = [](size_t texts) {
    std::string list = kEmptyList + kMark;
    for (size_t i = 0; i < texts; ++i) list += text(std::string(996, 'x'));  // 1000 with quotes, comma and blank
    return open_bytes(torch_zip(
        whole(kEmptyDict + kMark + text("w") + PickledParts().tensor() + text("list") + list + kAppends + kSetItems)));
  };
  EXPECT_EQ(with_list(65)->metadata("list").size(), 65'000u);
  EXPECT_TRUE(with_list(65)->notices().empty());
  EXPECT_TRUE(with_list(66)->metadata().empty());
  EXPECT_EQ(with_list(66)->notices().size(), 1u);
  EXPECT_EQ(with_list(66)->read_f32("w"), kSix);
}

TEST(TorchFile, NamesALoneTensor) {
  const auto file = open_bytes(torch_zip(whole(PickledParts().tensor())));
  EXPECT_EQ(file->read_f32("tensor"), kSix);
  ASSERT_EQ(file->notices().size(), 1u);
}

TEST(TorchFile, RefusesImpossibleTrees) {
  const std::string tensor = PickledParts().tensor();
  refused(torch_zip(whole("N")), "no tensors but a single value");
  refused(torch_zip(whole(dict("", tensor))), "without a name");
  refused(torch_zip(whole(dict(std::string("a\0b", 3), tensor))), "NUL");
  refused(torch_zip(whole(dict(std::string(1025, 'n'), tensor))), "expected at most 1024");
  refused(torch_zip(whole(kEmptyDict + kEmptyTuple + tensor + kSetItem)), "a key that is no text");
  refused(torch_zip(whole(kEmptyDict + kMark + text("a.b") + tensor + text("a") + dict("b", tensor) + kSetItems)),
          "twice");
  refused(torch_zip(whole(kEmptyDict + kMark + text("a") + tensor + text("a") + tensor + kSetItems)), "twice");
  std::string deep = tensor;
  for (int i = 0; i < 70; ++i) deep = dict("d", deep);
  refused(torch_zip(whole(deep)), "nested more than 64 deep");
  refused(torch_zip(whole("]q\x01h\x01"
                          "a")),
          "nested more than 64 deep");  // a list that holds itself
  // Each tuple holds the one before ten times: 10^30 values in a few hundred bytes.
  std::string bomb = dict("w", tensor);
  for (char level = 1; level <= 30; ++level) {
    const std::string again = std::string("h") + level;
    bomb = kMark + bomb + "q" + level;
    for (int i = 0; i < 9; ++i) bomb += again;
    bomb += kTuple;
  }
  refused(torch_zip(whole(bomb)), "more than");
}

TEST(TorchFile, LimitsRepetition) {
  // A file of 8 MB whose storage is used 100 times.
  const std::string storage(8 << 20, '\1');
  PickledParts parts;
  parts.count = 2 << 20, parts.shape = {2 << 20}, parts.strides = {1};
  const auto uses = [&](int count) {
    std::string object = kEmptyDict + kMark;
    for (int i = 0; i < count; ++i) object += text(std::to_string(i)) + parts.tensor();
    return torch_zip(whole(object + kSetItems), storage);
  };
  EXPECT_NO_THROW(open_bytes(uses(4)));
  refused(uses(100), "repeat the same elements");
}

// ---- Every flipped bit: refused or read, never a crash
// ----------------------------------------------------------------

TEST(TorchFile, SurvivesEveryFlippedBit) {
  for (std::string bytes : {zip_with([](PickledParts&) {}), legacy_with([](auto&, auto&) {})})
    for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      const std::string damaged = [&] {
        std::string copy = bytes;
        copy[bit / 8] = static_cast<char>(copy[bit / 8] ^ (1 << bit % 8));
        return copy;
      }();
      try {
        open_bytes(damaged)->verify();
      } catch (const Error& error) {
        ASSERT_EQ(error.kind(), ErrorKind::data) << bit << ": " << error.what();
      }
    }
}

// ---- Other things under a model's name ------------------------------------------------------------------------------

TEST(TorchFile, SaysWhatAFileIsInstead) {
  refused("", "it is empty");
  refused("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull");
  refused("<!DOCTYPE html><html></html>", "web page");
  refused(whole(kNone), "bare Python pickle");
  refused("PYTORCH1....", "preview of PyTorch 1.0");
  refused("PK\x05\x06" + std::string(18, '\0'), "empty ZIP");
  refused(std::string(257, 'a') + "ustar" + std::string(250, '\0'), "tar archive");
  refused("some text", "of no known format");
}

TEST(TorchFile, RefusesFoldersAndPipes) {
  const TemporaryFolder folder;
  EXPECT_THROW(open_tensor_file(folder.path()), Error);
  EXPECT_THROW(open_tensor_file(folder / "absent"), Error);
  const std::string pipe = folder / "pipe";
  ASSERT_EQ(run({"/bin/sh", "-c", "mkfifo '" + pipe + "' && ln -s loop '" + folder.path() + "/loop'"}).exit_code, 0);
  EXPECT_THROW(open_tensor_file(pipe), Error);
  EXPECT_THROW(open_tensor_file(folder / "loop"), Error);
}

}  // namespace
}  // namespace dcl::test
