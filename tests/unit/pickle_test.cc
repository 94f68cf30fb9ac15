// Pickles as data: what builds values is read, everything else is refused by name, nothing runs, and no pickle takes
// more memory or time than its limits.
#include "io/torch/pickle.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <span>

#include "core/error.h"
#include "io/torch/scalar_text.h"
#include "support/pickle_bytes.h"

namespace dcl {
namespace {

using namespace test::pickle;
using test::fields;

PickleDocument read(const std::string& bytes, StorageIds ids = StorageIds::zip) {
  const auto source = memory_view("x.pkl", std::as_bytes(std::span(bytes)));
  return read_pickle(*source, 0, ids);
}

std::string refusal(const std::string& bytes, StorageIds ids = StorageIds::zip) {
  try {
    read(bytes, ids);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data) << error.what();
    EXPECT_NE(std::string(error.what()).find("'x.pkl'"), std::string::npos) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
}

void refused(const std::string& value, const std::string& words) {
  const std::string message = refusal(whole(value));
  EXPECT_NE(message.find(words), std::string::npos) << "expected '" << words << "' in: '" << message << "'";
}

/// The value in Python's notation.
std::string shown(const std::string& value) {
  const PickleDocument document = read(whole(value));
  const PickleValue& root = document.at(document.root);
  const auto text = scalar_text(root);
  return text ? *text : sequence_text(document, root, 1000).value_or("?");
}

std::string real(double value) {
  std::string bytes = fields(value);
  return "G" + std::string(bytes.rbegin(), bytes.rend());
}

// ---- Values ---------------------------------------------------------------------------------------------------------

TEST(Pickle, ReadsScalars) {
  EXPECT_EQ(shown("N"), "None");
  EXPECT_EQ(shown("\x88"), "True");
  EXPECT_EQ(shown("\x89"), "False");
  EXPECT_EQ(shown("K\xff"), "255");
  EXPECT_EQ(shown("M\xff\xff"), "65535");
  EXPECT_EQ(shown("J" + fields(int32_t{-5})), "-5");
  EXPECT_EQ(shown(std::string("\x8a\0", 2)), "0");
  EXPECT_EQ(shown("\x8a\x01\xff"), "-1");
  EXPECT_EQ(shown(integer(int64_t{1} << 40)), "1099511627776");
  EXPECT_EQ(shown("\x8a\x09" + fields(~uint64_t{0}) + std::string(1, '\0')), "18446744073709551615");
  EXPECT_EQ(shown("\x8a\x10" + std::string(15, '\0') + "\x80"), "-170141183460469231731687303715884105728");
  // As torch.save writes the state of NumPy's generators: two numbers of 128 bits without a sign.
  EXPECT_EQ(shown("\x8a\x11" + std::string(16, '\xff') + std::string(1, '\0')),
            "340282366920938463463374607431768211455");
  EXPECT_EQ(shown("\x8a\x11" + std::string(16, '\0') + "\xff"), "-340282366920938463463374607431768211456");
  EXPECT_EQ(shown("\x8a\x20" + std::string(31, '\0') + "\x80"),
            "-57896044618658097711785492504343953926634992332820282019728792003956564819968");
  EXPECT_EQ(shown("\x8a\x20\xfe" + std::string(31, '\xff')), "-2") << "in more bytes than it needs";
  EXPECT_EQ(shown(text("w\xc3\xa4")), "w\xc3\xa4");
  EXPECT_EQ(shown(old_text("storage")), "storage");
  EXPECT_EQ(shown(global("torch", "float32")), "torch.float32");
}

TEST(Pickle, PrintsFloatsAsPythonDoes) {
  EXPECT_EQ(shown(real(0.1)), "0.1");
  EXPECT_EQ(shown(real(1)), "1.0");
  EXPECT_EQ(shown(real(-0.0)), "-0.0");
  EXPECT_EQ(shown(real(1e-6)), "1e-06");
  EXPECT_EQ(shown(real(0.0001)), "0.0001");
  EXPECT_EQ(shown(real(100000)), "100000.0");
  EXPECT_EQ(shown(real(1e16)), "1e+16");
  EXPECT_EQ(shown(real(1e300)), "1e+300");
  EXPECT_EQ(shown(real(-std::numeric_limits<double>::infinity())), "-inf");
}

TEST(Pickle, ReadsContainersAndProtocol4) {
  EXPECT_EQ(shown(tuple({"N", text("a'b"), "K\x01"})), "(None, 'a\\'b', 1)");
  EXPECT_EQ(shown("K\x01\x85"), "(1,)");
  EXPECT_EQ(shown(")"), "()");
  EXPECT_EQ(shown("](K\x01K\x02"
                  "e"),
            "[1, 2]");
  EXPECT_EQ(shown(global("torch", "Size") + tuple({integers({2, 3})}) + kReduce), "(2, 3)");
  EXPECT_EQ(shown(global("torch", "device") + tuple({text("cuda"), "K\x01"}) + kReduce), "cuda:1");
  EXPECT_EQ(shown(global("builtins", "set") +
                  tuple({"]K\x01"
                         "a"}) +
                  kReduce),
            "{1}");
  const std::string four = std::string("\x80\x04\x95", 3) + fields(uint64_t{9}) +
                           "\x8c\x05torch\x94\x8c\x07"
                           "float16\x94\x93.";
  const PickleDocument document = read(four);
  EXPECT_EQ(scalar_text(document.at(document.root)), "torch.float16");
}

// What else PyTorch's own reader takes from a file of tensors.
TEST(Pickle, BytesAndComplexNumbersMayStandBesideTensors) {
  for (const std::string& call : {global("_codecs", "encode") + tuple({text("\u00ff"), text("latin1")}) + kReduce,
                                  global("__builtin__", "bytearray") + tuple({text("a"), text("latin-1")}) + kReduce,
                                  global("builtins", "bytearray") + tuple({"C\x01z"}) + kReduce,
                                  global("__builtin__", "complex") + tuple({real(1), real(-2)}) + kReduce,
                                  global("builtins", "complex") + tuple({real(1), real(-2)}) + kReduce}) {
    const PickleDocument document = read(whole(call));
    EXPECT_EQ(document.at(document.root).kind, PickleKind::opaque) << call;
    EXPECT_FALSE(scalar_text(document.at(document.root))) << call;
  }
}

TEST(Pickle, SharesRememberedValues) {
  const PickleDocument document = read(whole("(]q\x01h\x01h\x01t"));
  const std::vector<PickleRef>& items = document.at(document.root).items;
  ASSERT_EQ(items.size(), 3u);
  EXPECT_EQ(items[0], items[1]);
  EXPECT_EQ(items[0], items[2]);
}

TEST(Pickle, ReadsDictsOfEveryPython) {
  const std::string ordered = global("collections", "OrderedDict");
  const std::string pairs = "]](" + text("a") +
                            "K\x01"
                            "e"
                            "a";  // Python 2: [[key, value]]
  for (const std::string& bytes : {ordered + ")R" + text("a") + "K\x01s", ordered + tuple({pairs}) + "R",
                                   global("collections", "Counter") + tuple({dict("a", "K\x01")}) + "R"}) {
    const PickleDocument document = read(whole(bytes));
    const PickleValue& root = document.at(document.root);
    EXPECT_EQ(root.kind, PickleKind::dict);
    ASSERT_EQ(root.items.size(), 2u);
    EXPECT_EQ(document.at(root.items[0]).text, "a");
    EXPECT_EQ(document.at(root.items[1]).integer, 1);
  }
  // The version numbers that a module's state_dict carries.
  EXPECT_EQ(refusal(whole(ordered + ")R" + dict("_metadata", "}") + "b")), "");
}

// ---- What is refused ------------------------------------------------------------------------------------------------

TEST(Pickle, RefusesToExecute) {
  const auto call = [](const std::string& module, const std::string& name) {
    return global(module, name) + tuple({text("touch executed")}) + kReduce;
  };
  for (const auto& [module, name] :
       std::vector<std::pair<std::string, std::string>>{{"os", "system"},
                                                        {"posix", "system"},
                                                        {"nt", "system"},
                                                        {"builtins", "eval"},
                                                        {"__builtin__", "exec"},
                                                        {"builtins", "getattr"},
                                                        {"subprocess", "Popen"},
                                                        {"pip", "main"},
                                                        {"torch.jit", "load"},
                                                        {"torch", "load"},
                                                        {"torch.hub", "load"},
                                                        {"importlib", "import_module"},
                                                        {"numpy.core.multiarray", "scalar"},
                                                        {"_codecs", "decode"},
                                                        {"argparse", "Namespace"},
                                                        {"torch._utils", "_rebuild_tensor_v2.__globals__"},
                                                        {"collections", "OrderedDict.__init__"},
                                                        {"torch.storage", "_load_from_bytes"}}) {
    refused(call(module, name), "refusing to execute '" + module + "." + name + "'");
    refused(text(module) + text(name) + "\x93", "refusing to execute '" + module + "." + name + "'");
    refused("(i" + module + "\n" + name + "\n", "refusing to execute '" + module + "." + name + "'");
  }
}

/// Such a file is in order, and its names are PyTorch's.
TEST(Pickle, SaysWhatItDoesNotRead) {
  const auto not_read = [](const std::string& value, const std::string& words) {
    EXPECT_EQ(refusal(whole(value)), "'x.pkl': " + words);
  };
  const auto made_by = [](const std::string& function) {
    return global("torch._utils", function) + kEmptyTuple + kReduce;
  };
  not_read(made_by("_rebuild_qtensor"), "it holds a tensor that is quantised; save what its dequantize() gives");
  for (const char* sparse : {"_rebuild_sparse_tensor", "_rebuild_sparse_csr_tensor"})
    not_read(made_by(sparse), "it holds a tensor that is sparse; save what its to_dense() gives");
  not_read(made_by("_rebuild_nested_tensor"), "it holds a tensor that is nested; save what its unbind() gives");
  not_read(made_by("_rebuild_meta_tensor_no_storage"),
           "it holds a tensor that is on the device 'meta', without values");
  test::PickledParts parts;
  parts.type = global("torch", "QInt8Storage");
  not_read(parts.storage(), "unsupported element type: torch.QInt8Storage");
  parts = {};
  parts.metadata = dict("neg", "\x88");
  not_read(parts.tensor(),
           "it holds a tensor that is a view of values of the other sign; save what its resolve_neg() gives");
}

TEST(Pickle, RefusesOpcodesOutsideOfTheList) {
  // OBJ, INST's relatives, EXT1, PERSID, protocol 0 and 1, DUP, POP, NEWOBJ_EX, LONG4, BYTEARRAY8.
  for (const char opcode :
       {'o', '\x82', '\x83', '\x84', 'P', 'I', 'F', 'S', 'V', 'g', 'p', '2', '0', '1', '\x92', '\x8b', '\x96', '\0'})
    refused(std::string("N") + opcode, "has no place in a file of tensors");
  EXPECT_NE(refusal(whole(test::PickledParts().storage()), StorageIds::none).find("has no place"), std::string::npos);
}

TEST(Pickle, RefusesNamesThatAreNone) {
  refused("cos\nsys\x07tem\n", "not printable ASCII");
  refused("c" + std::string(300, 'm') + "\nn\n", "at most 256");
  refused("c\n\n", "refusing to execute '.'");
  refused("ctorch\n\n", "refusing to execute 'torch.'");
  refused("K\x01K\x02\x93", "what is no text");
}

TEST(Pickle, RefusesUnderflow) {
  for (const char* bytes :
       {"", "0", "a", "s", "R", "b", "Q", "\x81", "\x85", "Na", "(Na", "N\x86", "(a", "N(\x85", "q\x01", "(q\x01"})
    EXPECT_NE(refusal(whole(bytes)), "") << bytes;
  refused("]a", "empty stack");
  refused("N(\x85", "empty stack");
  refused("t", "no mark");
  refused("u", "no mark");
  refused("e", "no mark");
  refused("NN", "leaves values behind");
  refused("(N", "leaves values behind");
  refused("N(", "empty stack");
}

TEST(Pickle, RefusesBadMemo) {
  refused("h\x05", "was not remembered");
  refused("j" + fields(~uint32_t{0}), "was not remembered");
  refused("Nr" + fields(~uint32_t{0}), "under the number 4294967295");
  refused("Nr" + fields(uint32_t{4}), "under the number 4");
  EXPECT_EQ(refusal(whole("Nr" + fields(uint32_t{2}))), "");
  refused("Nq\x02h\x01", "was not remembered");
}

TEST(Pickle, RefusesWrongTargets) {
  refused(
      "}K\x01"
      "a",
      "no list");
  refused("](K\x01K\x02u", "no dict");
  refused("]K\x01K\x02s", "no dict");
  refused("}(K\x01u", "key without a value");
  refused(
      ")(K\x01"
      "e",
      "no list");
  refused("](K\x01\x90", "no set");
  refused(test::PickledParts().tensor() + text("a") + "Ns", "no dict");
  refused("]}b", "neither dict nor tensor");
  refused("K\x01)R", "no function");
  refused(global("collections", "OrderedDict") + "NR", "without a tuple");
  refused(global("torch", "float32") + ")R", "is no function");
  refused(global("collections", "OrderedDict") +
              tuple({"]K\x01"
                     "a"}) +
              kReduce,
          "something else than pairs");
  refused(global("torch._utils", "_rebuild_tensor_v2") + ")R", "0 arguments");
  refused(global("torch._utils", "_rebuild_parameter") + tuple({"N"}) + kReduce, "another kind");
  refused(global("torch", "device") + tuple({text(std::string(65, 'x'))}) + kReduce, "name has 65 bytes");
}

TEST(Pickle, RefusesBadProtocolsAndText) {
  EXPECT_NE(refusal("N.").find("does not begin with a protocol"), std::string::npos);
  EXPECT_NE(refusal(std::string("\x80\x01N.", 4)).find("protocol is 1"), std::string::npos);
  EXPECT_NE(refusal("\x80\x06N.").find("protocol is 6"), std::string::npos);
  for (const char* bytes : {"\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"})
    refused(text(bytes), "not valid UTF-8");
  refused("\x8a\x21" + std::string(33, 'x'), "an integer has 33 bytes");
}

TEST(Pickle, RefusesBadStorageIds) {
  test::PickledParts parts;
  const auto with = [](auto&& edit) {
    test::PickledParts changed;
    edit(changed);
    return changed.storage();
  };
  refused("NQ", "tuple of 5");
  refused(tuple({text("module"), "N", "N", "N", "N"}) + "Q", "tuple of 5");
  refused(with([](auto& p) { p.view = "N"; }), "tuple of 5");
  EXPECT_NE(refusal(whole(parts.storage()), StorageIds::legacy).find("tuple of 6"), std::string::npos);
  for (const char* key : {"", "../x", "a/b", "a b"}) refused(with([&](auto& p) { p.key = key; }), "impossible key");
  refused(with([](auto& p) { p.key = std::string(65, 'k'); }), "impossible key");
  refused(with([](auto& p) { p.count = -1; }), "negative size");
  refused(with([](auto& p) { p.type = global("torch", "float32"); }), "no type of storages");
  refused(with([](auto& p) { p.type = global("torch", "ComplexFloatStorage"); }),
          "unsupported element type: torch.ComplexFloatStorage");
  const std::string other = with([](auto& p) { p.type = global("torch", "IntStorage"); });
  refused(tuple({parts.storage(), other}), "two types or sizes");
  refused(tuple({parts.storage(), with([](auto& p) { p.count = 7; })}), "two types or sizes");
}

TEST(Pickle, RefusesBadViewsOfStorages) {
  const auto view = [](int64_t offset, int64_t count) {
    test::PickledParts parts;
    parts.view = tuple({text("v"), integer(offset), integer(count)});
    return refusal(whole(parts.storage()), StorageIds::legacy);
  };
  EXPECT_EQ(view(0, 6), "");
  EXPECT_EQ(view(6, 0), "");
  for (const auto& [offset, count] :
       {std::pair<int64_t, int64_t>{-1, 1}, {0, -1}, {0, 7}, {6, 1}, {7, 0}, {1, INT64_MAX}})
    EXPECT_NE(view(offset, count).find("reaches beyond it"), std::string::npos) << offset << " " << count;
}

// ---- Limits ---------------------------------------------------------------------------------------------------------

TEST(Pickle, LimitsWhatItTakes) {
  refused(std::string(1'000'001, 'N'), "more than 1000000 opcodes");
  std::string strings = "(";
  for (int i = 0; i < 100'001; ++i) strings += text("");
  refused(strings, "more than 100000 strings");
  refused(text(std::string(65'537, 'x')), "at most 65536");
  refused("X" + fields(~uint32_t{0}), "at most 65536");
  refused("\x8d" + fields(~uint64_t{0}), "at most 65536");
  // Strings that are short enough each, 64 MiB together.
  std::string large;
  const std::string one = text(std::string(65'536, 'x'));
  for (int i = 0; i < 1024; ++i) large += one;
  refused("(" + large + "t", "longer than");
}

TEST(Pickle, LimitsCopies) {
  std::string bytes = "(](";
  for (int i = 0; i < 1000; ++i) bytes += "N";
  bytes += "eq\x01";
  for (int i = 0; i < 2000; ++i) bytes += global("builtins", "set") + "h\x01\x85R";
  refused(bytes + "t", "copies too many");
}

TEST(Pickle, ListsOfTheSameTextEndSoon) {
  std::string list = kEmptyList + kMark + text(std::string(60'000, 'x')) + std::string("q\0", 2);
  for (int i = 0; i < 200'000; ++i) list += std::string("h\0", 2);  // 12 GB, were they written out
  EXPECT_LT(shown(list + kAppends).size(), 61'000u);
  EXPECT_EQ(shown(list + kEmptyList + kAppends), "?") << "not all of them are scalars";
}

TEST(Pickle, TakesDeepTreesWithoutRecursion) {
  std::string deep(400'000, ']');
  deep += std::string(399'999, 'a');
  EXPECT_EQ(refusal(whole(deep)), "");
  EXPECT_EQ(refusal(whole("N" + std::string(400'000, '\x85'))), "");
}

TEST(Pickle, RefusesEveryTruncation) {
  const std::string bytes = whole(dict("a.weight", test::PickledParts().tensor()));
  ASSERT_EQ(refusal(bytes), "");
  for (size_t length = 0; length < bytes.size(); ++length)
    EXPECT_NE(refusal(bytes.substr(0, length)).find("truncated"), std::string::npos) << length;
}

}  // namespace
}  // namespace dcl
