// dcl-convert: what goes in comes out, in every format, and bad input is one clear line.
#include <gtest/gtest.h>

#include <filesystem>

#include "support/cli.h"
#include "support/random_model.h"
#include "support/zip_bytes.h"

namespace dcl::test {
namespace {

namespace fs = std::filesystem;

class Convert : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    write_random_model(model());
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::string model() { return *folder_ / "model.safetensors"; }
  static std::string path(const std::string& name) { return *folder_ / name; }
  /// Runs dcl-convert, which must succeed, and returns what it said.
  static std::string convert(const std::string& input, const std::string& output,
                             const std::vector<std::string>& more = {}) {
    std::vector<std::string> argv = {app("dcl-convert"), input, output};
    argv.insert(argv.end(), more.begin(), more.end());
    const Outcome outcome = run(argv);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    return outcome.err;
  }
  static void expect_refused(std::vector<std::string> arguments, int code, const std::string& words) {
    arguments.insert(arguments.begin(), app("dcl-convert"));
    test::expect_refused(arguments, code, {words});
  }
  /// The tensors of `b` are those of `a`, byte for byte, called prefix + name.
  static void expect_same(const std::string& a, const std::string& b, const std::string& prefix = "") {
    const auto one = open_tensor_file(a), two = open_tensor_file(b);
    ASSERT_EQ(one->tensors().size(), two->tensors().size());
    for (const FileTensor& tensor : one->tensors()) {
      const FileTensor& other = two->at(prefix + tensor.name, tensor.shape);
      ASSERT_EQ(other.dtype, tensor.dtype) << tensor.name;
      std::vector<std::byte> x(tensor.bytes()), y(other.bytes());
      one->read_bytes(tensor, x);
      two->read_bytes(other, y);
      ASSERT_EQ(x, y) << tensor.name;
    }
  }

  static inline TemporaryFolder* folder_ = nullptr;
};

TEST_F(Convert, EveryFormatKeepsTheTensors) {
  convert(model(), path("a.pth"));
  expect_same(model(), path("a.pth"));
  EXPECT_EQ(open_tensor_file(path("a.pth"))->format(), "PyTorch, zip");
  convert(path("a.pth"), path("b.pt"), {"--legacy"});
  expect_same(model(), path("b.pt"));
  EXPECT_EQ(open_tensor_file(path("b.pt"))->format(), "PyTorch, legacy");
  convert(path("b.pt"), path("c.safetensors"));
  expect_same(model(), path("c.safetensors"));
  convert(path("c.safetensors"), path("d"), {"--to", "pth"});
  expect_same(model(), path("d"));
  convert(path("d"), path("e.npz"));
  expect_same(model(), path("e.npz"));
  EXPECT_EQ(open_tensor_file(path("e.npz"))->format(), "NPZ");
  convert(path("e.npz"), path("f.safetensors"));
  expect_same(model(), path("f.safetensors"));
}

TEST_F(Convert, MetadataStaysInSafetensorsAndItsLossIsSaid) {
  convert(model(), path("copy.safetensors"));
  const auto copy = open_tensor_file(path("copy.safetensors"));
  EXPECT_EQ(copy->metadata("dcl.step"), "7");
  copy->verify();
  EXPECT_NE(convert(model(), path("m.pth")).find("left out metadata"), std::string::npos);
}

TEST_F(Convert, PrefixForDataParallelAndBack) {
  convert(model(), path("module.pth"), {"--prefix", "module."});
  expect_same(model(), path("module.pth"), "module.");
  const std::string said = convert(path("module.pth"), path("plain.safetensors"), {"--names", "published"});
  EXPECT_NE(said.find("stripped prefix 'module.' from 128 keys"), std::string::npos) << said;
  expect_same(model(), path("plain.safetensors"));
}

TEST_F(Convert, TorchvisionNamesGiveTheEncoderAndComeBack) {
  const std::string said = convert(model(), path("tv.pth"), {"--names", "torchvision"});
  EXPECT_NE(said.find("left out the projection head"), std::string::npos) << said;
  const auto names = open_tensor_file(path("tv.pth"));
  EXPECT_EQ(names->tensors().size(), 120u);
  const auto own = open_tensor_file(model());
  EXPECT_EQ(names->read_f32("layer4.1.bn2.running_var"), own->read_f32("f.6.1.bn2.running_var"));
  EXPECT_EQ(names->read_f32("layer2.0.downsample.0.weight"), own->read_f32("f.4.0.downsample.0.weight"));
  EXPECT_EQ(names->read_i64("bn1.num_batches_tracked"), std::vector<int64_t>{7});
  convert(path("tv.pth"), path("back.safetensors"), {"--names", "published"});
  const auto back = open_tensor_file(path("back.safetensors"));
  EXPECT_EQ(back->tensors().size(), 120u);
  for (const FileTensor& tensor : back->tensors())
    if (tensor.dtype == FileDType::f32) {
      EXPECT_EQ(back->read_f32(tensor.name), own->read_f32(tensor.name)) << tensor.name;
    }
}

TEST_F(Convert, DtypeIsOfTheFloatingTensors) {
  convert(model(), path("half.safetensors"), {"--dtype", "f16"});
  const auto half = open_tensor_file(path("half.safetensors"));
  EXPECT_EQ(half->at("f.0.weight").dtype, FileDType::f16);
  EXPECT_EQ(half->at("f.1.num_batches_tracked").dtype, FileDType::i64);
  EXPECT_LT(fs::file_size(path("half.safetensors")), fs::file_size(model()) * 6 / 10);
  // Every half is a float, so that casting twice is the same as once.
  convert(path("half.safetensors"), path("wide.pth"), {"--dtype", "f32"});
  convert(path("wide.pth"), path("half2.safetensors"), {"--dtype", "f16"});
  expect_same(path("half.safetensors"), path("half2.safetensors"));
}

TEST_F(Convert, NpzWithoutBfloat16) {
  convert(model(), path("half.pth"), {"--dtype", "bf16"});
  convert(path("half.pth"), path("wide.npz"));
  EXPECT_EQ(open_tensor_file(path("wide.npz"))->at("f.0.weight").dtype, FileDType::f32);
  convert(path("wide.npz"), path("again.pth"), {"--dtype", "bf16"});
  expect_same(path("half.pth"), path("again.pth"));
  expect_refused({model(), path("x.npz"), "--dtype", "bf16"}, 2, "no bf16");
  expect_refused({model(), path("y.pth"), "--model_prefix", "f"}, 2, "--model_prefix takes one of several encoders");
}

TEST_F(Convert, ToOnnx) {
  convert(model(), path("model.onnx"));
  EXPECT_GT(fs::file_size(path("model.onnx")), 40'000'000u);
  expect_refused({model(), path("n.onnx"), "--dtype", "f16"}, 2, "do not apply to ONNX");
  expect_refused({path("model.onnx"), path("n.pth")}, 3, "an ONNX model");
}

TEST_F(Convert, BadInput) {
  expect_refused({model()}, 2, "output is needed");
  expect_refused({model(), path("x.h5")}, 2, "--to");
  expect_refused({model(), path("x.safetensors"), "--legacy"}, 2, "--legacy");
  expect_refused({path("absent.pth"), path("x.pth")}, 3, "absent.pth");
  write_text(path("noise.pth"), std::string(500, '\x7f'));
  expect_refused({path("noise.pth"), path("x.pth")}, 3, "noise.pth");
  expect_refused({model(), "/proc/x.pth"}, 5, "/proc/x.pth");
  fs::create_symlink(model(), path("link.safetensors"));
  expect_refused({model(), path("link.safetensors")}, 2, "is the input");
}

/// Names come from files and from --prefix: one that the output cannot have is no defect of the program.
TEST_F(Convert, NamesThatTheOutputCannotHave) {
  const auto one = [&](const std::string& name) {
    write_text(path("one.safetensors"), [&] {
      const std::string header = R"({")" + name + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
      return fields(uint64_t{header.size()}) + header + std::string(4, '\0');
    }());
    return path("one.safetensors");
  };
  for (const char* output : {"n.pth", "n.safetensors", "n.npz"}) {
    expect_refused({one(""), path(output)}, 3, "needs a name");
    expect_refused({one("w"), path(output), "--prefix", std::string(1024, 'x')}, 3, "needs a name of 1 to 1024 bytes");
    expect_refused({one("w"), path(output), "--prefix", "\xff"}, 3, "in UTF-8");
    EXPECT_FALSE(fs::exists(path(output)));
  }
  expect_refused({one("metadata__"), path("n.safetensors"), "--prefix", "__"}, 3, "named __metadata__");
  expect_refused({one("w"), path("n.npz"), "--prefix", "../"}, 3, "cannot have an entry '../w.npy'");
  expect_refused({one("w"), path("n.npz"), "--prefix", "a\nb"}, 3, "cannot have an entry");
  convert(one("w"), path("n.pth"), {"--prefix", "../"});
}

TEST_F(Convert, ADamagedInputLeavesNoOutput) {
  std::string bytes = read_text(model());
  bytes[bytes.size() - 1000] ^= 1;
  write_text(path("damaged.safetensors"), bytes);
  write_text(path("before.pth"), "what was there");
  expect_refused({path("damaged.safetensors"), path("before.pth")}, 3, "does not match its checksum");
  EXPECT_EQ(read_text(path("before.pth")), "what was there");
}

}  // namespace
}  // namespace dcl::test
