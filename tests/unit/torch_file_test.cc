// PyTorch files of both formats: views, containers, scalars, hostile files, truncation, and our own writers' round trip.
#include "io/torch/torch_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <span>

#include "core/error.h"
#include "support/pickle_bytes.h"
#include "support/process.h"

namespace dcl {
namespace {

using namespace test::pickle;
using test::fields;
using test::LegacyParts;
using test::PickledParts;
using test::six_floats;
using test::torch_zip;

std::unique_ptr<TensorFile> open_bytes(const std::string& bytes) {
  const auto* first = reinterpret_cast<const std::byte*>(bytes.data());
  return open_tensor_file(memory_bytes("x.pth", {first, first + bytes.size()}));
}

/// The message with which a file is refused; "" when it is accepted and every tensor reads.
std::string refusal(const std::string& bytes) {
  try {
    open_bytes(bytes)->verify();
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data) << error.what();
    const std::string message = error.what();
    EXPECT_NE(message.find("x.pth"), std::string::npos) << message;
    EXPECT_EQ(message.find("x.pth"), message.rfind("x.pth")) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
    return message;
  }
}

void refused(const std::string& bytes, const std::string& words) {
  const std::string message = refusal(bytes);
  EXPECT_NE(message.find(words), std::string::npos) << "expected '" << words << "' in: '" << message << "'";
}

/// A file of tensor "w", changed.
std::string zip_with(const std::function<void(PickledParts&)>& edit, const std::string& storage = six_floats()) {
  PickledParts parts;
  edit(parts);
  return torch_zip(whole(dict("w", parts.tensor())), storage);
}

std::string legacy_with(const std::function<void(PickledParts&, LegacyParts&)>& edit) {
  PickledParts parts;
  parts.view = kNone;
  LegacyParts file;
  edit(parts, file);
  if (file.object.empty()) file.object = whole(dict("w", parts.tensor()));
  return file.bytes();
}

std::vector<float> values(const std::string& bytes) { return open_bytes(bytes)->read_f32("w"); }

const std::vector<float> kSix = {0, 1, 2, 3, 4, 5};

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

// ---- The ZIP format -------------------------------------------------------------------------------------------------

TEST(TorchZip, RefusesWhatIsNoPyTorchArchive) {
  const std::string pickle = whole(dict("w", PickledParts().tensor()));
  const auto changed = [&](const std::function<void(std::vector<test::ZipPart>&)>& edit) {
    std::vector<test::ZipPart> parts = test::torch_zip_parts(pickle);
    edit(parts);
    return test::zip_bytes(parts);
  };
  refused(changed([](auto& p) { p.erase(p.begin()); }), "data.pkl is missing");
  refused(changed([](auto& p) { p[0] = {"data.pkl", p[0].content}; }), "is in no folder");
  refused(changed([](auto& p) { p.push_back({"other/x", ""}); }), "several folders");
  refused(changed([](auto& p) { p.push_back({"archive/constants.pkl", ""}); }), "TorchScript");
  refused(changed([](auto& p) { p.pop_back(); }), "'version' is missing");
  for (const char* version : {"0", "11", "x", "3x", "-1", "99999999999999999999"})
    refused(changed([&](auto& p) { p.back() = {"archive/version", version}; }), "format version");
  refused(changed([](auto& p) { p.push_back({"archive/byteorder", "big"}); }), "byte order");
  EXPECT_EQ(refusal(changed([](auto& p) { p.push_back({"archive/byteorder", "little"}); })), "");
  refused(changed([](auto& p) { p.erase(p.begin() + 1); }), "storage '0' is missing");
  refused(changed([](auto& p) { p[1] = {"archive/data/0", six_floats() + "x"}; }), "has 25 bytes, expected 24");
  refused(changed([&](auto& p) { p[0] = {"archive/data.pkl", pickle + "x"}; }), "its pickle ends at byte");
  refused(zip_with([](PickledParts& p) { p.count = INT64_MAX / 2; }), "too large");
}

TEST(TorchZip, ChecksChecksums) {
  const auto file = [](uint32_t flip, bool part, bool none) {
    PickledParts parts;
    if (part) parts.shape = {2}, parts.strides = {1};
    std::vector<test::ZipPart> zip = test::torch_zip_parts(whole(dict("w", parts.tensor())));
    zip[1].crc = none ? 0 : zip[1].crc ^ flip;
    return test::zip_bytes(zip);
  };
  for (const bool part : {false, true}) {
    EXPECT_EQ(refusal(file(0, part, false)), "");
    refused(file(1, part, false), "storage '0' does not match its checksum");
    EXPECT_EQ(refusal(file(0, part, true)), "");
    EXPECT_EQ(open_bytes(file(0, part, true))->notices().size(), 1u);
    std::vector<float> read(part ? 2 : 6);
    const auto damaged = open_bytes(file(1, part, false));
    EXPECT_THROW(damaged->read(damaged->at("w"), std::span(read)), Error);
  }
}

TEST(TorchZip, ReadsDeflatedEntries) {
  std::vector<test::ZipPart> zip = test::torch_zip_parts(whole(dict("w", PickledParts().tensor())));
  for (test::ZipPart& part : zip) part.deflate();
  EXPECT_EQ(values(test::zip_bytes(zip)), kSix);
  zip[1].crc ^= 1;
  refused(test::zip_bytes(zip), "damaged");
}

TEST(TorchZip, RefusesEveryTruncation) {
  const std::string whole_file = zip_with([](PickledParts&) {});
  for (size_t length = 0; length < whole_file.size(); ++length)
    EXPECT_NE(refusal(whole_file.substr(0, length)), "") << length;
}

// ---- The legacy format ----------------------------------------------------------------------------------------------

TEST(TorchLegacy, RefusesBrokenParts) {
  const auto with = [](const std::function<void(LegacyParts&)>& edit) {
    return legacy_with([&](PickledParts&, LegacyParts& file) { edit(file); });
  };
  refused(with([](LegacyParts& f) { f.magic[5] ^= 1; }), "bare Python pickle");
  refused(with([](LegacyParts& f) { f.protocol = whole(integer(1000)); }), "protocol is not 1001");
  refused(with([](LegacyParts& f) { f.system = whole(dict("little_endian", kFalse)); }), "big endian");
  refused(with([](LegacyParts& f) { f.system = whole(kEmptyDict); }), "does not say its byte order");
  refused(with([](LegacyParts& f) { f.system = whole(kEmptyList); }), "does not say its byte order");
  refused(with([](LegacyParts& f) { f.keys = whole(kEmptyList); }), "storage '0' is missing");
  refused(with([](LegacyParts& f) { f.keys = whole(kNone); }), "is no list");
  refused(with([](LegacyParts& f) { f.keys = whole(kEmptyList + text("1") + kAppend); }), "which no tensor uses");
  refused(with([](LegacyParts& f) {
            f.keys = whole(kEmptyList + kMark + text("0") + text("0") + kAppends);
            f.data += f.data;
          }),
          "'0' twice");
  refused(with([](LegacyParts& f) { f.data = fields(int64_t{5}) + six_floats(); }), "has 5 elements, expected 6");
  refused(with([](LegacyParts& f) { f.data = fields(int64_t{-6}) + six_floats(); }), "expected 6");
  refused(legacy_with([](PickledParts& p, LegacyParts& f) {
            p.count = INT64_MAX;
            f.data = fields(p.count);
          }),
          "too large");
  refused(with([](LegacyParts& f) { f.object = whole(global("os", "system") + tuple({text("true")}) + kReduce); }),
          "refusing to execute 'os.system'");
}

TEST(TorchLegacy, TheNumberMayBeAPickleOfALaterProtocol) {
  for (const char protocol : {'\2', '\3', '\4', '\5'}) {
    const bool framed = protocol >= 4;
    const auto with = [&](const std::string& frame) {
      return legacy_with([&](auto&, LegacyParts& f) {
        f.magic[1] = protocol;
        f.magic.insert(2, frame);
        f.keys[1] = protocol;
      });
    };
    const std::string frame("\x95\x0d\0\0\0\0\0\0\0", 9);  // around the 13 bytes after it
    EXPECT_EQ(values(with(framed ? frame : "")), kSix) << int{protocol};
    EXPECT_EQ(open_bytes(with(framed ? frame : ""))->format(), "PyTorch, legacy");
    for (size_t length = 0; length < 24; ++length) EXPECT_NE(refusal(with(frame).substr(0, length)), "") << length;
  }
  refused(legacy_with([](auto&, LegacyParts& f) { f.magic[1] = 6; }), "no known format");
}

TEST(TorchLegacy, NotesTrailingBytes) {
  const std::string bytes = legacy_with([](auto&, LegacyParts& f) { f.data += "tail"; });
  EXPECT_EQ(values(bytes), kSix);
  EXPECT_EQ(open_bytes(bytes)->notices(), std::vector<std::string>{"4 bytes after its last storage are ignored"});
}

TEST(TorchLegacy, RefusesEveryTruncation) {
  const std::string bytes = legacy_with([](auto&, auto&) {});
  for (size_t length = 0; length < bytes.size(); ++length) EXPECT_NE(refusal(bytes.substr(0, length)), "") << length;
  refused(bytes.substr(0, bytes.size() - 1), "truncated at storage '0'");
  refused(bytes.substr(0, bytes.size() - 25), "truncated at storage '0'");
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
  const test::TemporaryFolder folder;
  EXPECT_THROW(open_tensor_file(folder.path()), Error);
  EXPECT_THROW(open_tensor_file(folder / "absent"), Error);
  const std::string pipe = folder / "pipe";
  ASSERT_EQ(test::run({"/bin/sh", "-c", "mkfifo '" + pipe + "' && ln -s loop '" + folder.path() + "/loop'"}).exit_code,
            0);
  EXPECT_THROW(open_tensor_file(pipe), Error);
  EXPECT_THROW(open_tensor_file(folder / "loop"), Error);
}

// ---- Our own files --------------------------------------------------------------------------------------------------

class TorchWriter : public testing::TestWithParam<TorchFormat> {
 protected:
  test::TemporaryFolder folder_;
};

TEST_P(TorchWriter, RoundTripsEveryTypeAndShape) {
  const std::string path = folder_ / "w.pth";
  std::vector<std::byte> bytes(size_t{3} << 20);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + (i >> 8));
  std::vector<TensorSource> tensors;
  for (int type = 0; type <= static_cast<int>(FileDType::boolean); ++type)
    for (const std::vector<int64_t>& shape :
         std::vector<std::vector<int64_t>>{{}, {0, 3}, {5}, {2, 3, 4, 5}, {1, 1, 1, 1, 1, 1, 1, 2}, {300, 301}}) {
      TensorSource source{std::string(name_of(static_cast<FileDType>(type))) + shape_text(shape),
                          static_cast<FileDType>(type),
                          shape,
                          {}};
      const size_t size = static_cast<size_t>(bytes_of(source));
      source.produce = [&bytes, size](const ByteSink& sink) {
        sink(bytes.data(), size / 2);
        sink(bytes.data() + size / 2, size - size / 2);
      };
      tensors.push_back(std::move(source));
    }
  const uint64_t written = write_torch(path, tensors, GetParam());
  EXPECT_EQ(written, std::filesystem::file_size(path));
  const auto file = open_tensor_file(path);
  EXPECT_TRUE(file->notices().empty());
  ASSERT_EQ(file->tensors().size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const FileTensor& tensor = file->tensors()[i];
    EXPECT_EQ(tensor.name, tensors[i].name);
    EXPECT_EQ(tensor.dtype, tensors[i].dtype);
    EXPECT_EQ(tensor.shape, tensors[i].shape);
    std::vector<std::byte> read(static_cast<size_t>(tensor.bytes()));
    file->read_bytes(tensor, read);
    EXPECT_TRUE(std::equal(read.begin(), read.end(), bytes.begin())) << tensor.name;
  }
}

TEST_P(TorchWriter, WritesTheSameBytesAgain) {
  const std::vector<float> values(1000, 1.5f);
  for (const char* name : {"a.pth", "b.pth"})
    write_torch(folder_ / name, {tensor_source<float>("w", {1000}, values)}, GetParam());
  EXPECT_EQ(test::read_text(folder_ / "a.pth"), test::read_text(folder_ / "b.pth"));
}

TEST_P(TorchWriter, LeavesNothingBehindAfterABrokenSource) {
  const TensorSource lying{"t", FileDType::f32, {2}, [](const ByteSink& sink) { sink("1234", 4); }};
  EXPECT_THROW(write_torch(folder_ / "w.pth", {lying}, GetParam()), Error);
  const std::vector<float> one(1);
  EXPECT_THROW(write_torch(folder_ / "w.pth", {tensor_source<float>("a", {}, one), tensor_source<float>("a", {}, one)},
                           GetParam()),
               Error);
  EXPECT_THROW(write_torch(folder_ / "w.pth", {tensor_source<float>("\xff", {}, one)}, GetParam()), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

INSTANTIATE_TEST_SUITE_P(Formats, TorchWriter, testing::Values(TorchFormat::zip, TorchFormat::legacy),
                         [](const auto& info) { return info.param == TorchFormat::zip ? "zip" : "legacy"; });

}  // namespace
}  // namespace dcl
