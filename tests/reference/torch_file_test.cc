// Files that PyTorch itself wrote, against their values.
#include <gtest/gtest.h>

#include <bit>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "io/tensor_file.h"
#include "support/reference_file.h"

namespace dcl {
namespace {

using test::ReferenceFile;

std::string path_of(const std::string& name) { return *test::reference_folder() + "/" + name; }

/// The name under which checkpoint_values has a tensor of a checkpoint.
std::string published_name(const FileTensor& tensor) {
  const std::string_view key = tensor.key(), prefix = "module.";
  return std::string(key.starts_with(prefix) ? key.substr(prefix.size()) : key);
}

void expect_equal(const TensorFile& file, const FileTensor& tensor, const ReferenceFile& values,
                  const std::string& name) {
  SCOPED_TRACE(file.path() + ": " + tensor.name);
  ASSERT_TRUE(values.has(name)) << name;
  // Scalars are stored as one element there.
  const std::vector<int64_t> shape = tensor.shape.empty() ? std::vector<int64_t>{1} : tensor.shape;
  EXPECT_EQ(shape, values.shape(name));
  const std::vector<double> got = file.read_f64(tensor.name), expected = values.f64(name);
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_EQ(std::bit_cast<uint64_t>(got[i]), std::bit_cast<uint64_t>(expected[i])) << "element " << i;
  // The same through the other two ways of reading.
  std::vector<std::byte> whole(static_cast<size_t>(tensor.bytes())), pieces;
  file.read_bytes(tensor, whole);
  file.stream(tensor, [&](const void* data, size_t bytes) {
    pieces.insert(pieces.end(), static_cast<const std::byte*>(data), static_cast<const std::byte*>(data) + bytes);
  });
  EXPECT_TRUE(whole == pieces);
}

TEST(TorchFileReference, CheckpointsOfBothFormats) {
  DCL_NEEDS_REFERENCE();
  const ReferenceFile values("checkpoint_values.safetensors");
  for (const char* name : {"legacy.pth", "zip.pth"}) {
    const auto file = open_tensor_file(path_of(name));
    EXPECT_EQ(file->format(), name[0] == 'z' ? "PyTorch, zip" : "PyTorch, legacy");
    EXPECT_GT(file->tensors().size(), 10u);
    for (const FileTensor& tensor : file->tensors()) expect_equal(*file, tensor, values, published_name(tensor));
    size_t expected = 0;
    for (const std::string& key : values.names()) expected += !key.starts_with("views.");
    EXPECT_EQ(file->tensors().size(), expected);
  }
}

TEST(TorchFileReference, ViewsAndElementTypes) {
  DCL_NEEDS_REFERENCE();
  const ReferenceFile values("checkpoint_values.safetensors");
  for (const char* name : {"views_legacy.pth", "views_zip.pth"}) {
    const auto file = open_tensor_file(path_of(name));
    EXPECT_FALSE(file->tensors().empty());
    for (const FileTensor& tensor : file->tensors()) expect_equal(*file, tensor, values, "views." + tensor.name);
  }
}

TEST(TorchFileReference, NestedCheckpoint) {
  DCL_NEEDS_REFERENCE();
  const ReferenceFile values("checkpoint_values.safetensors");
  const auto file = open_tensor_file(path_of("nested.pth"));
  size_t weights = 0, moments = 0;
  for (const FileTensor& tensor : file->tensors()) {
    if (tensor.container == "state_dict") {
      expect_equal(*file, tensor, values, published_name(tensor));
      ++weights;
    } else {
      EXPECT_TRUE(tensor.container.starts_with("optimizer.state.")) << tensor.name;
      ++moments;
    }
  }
  EXPECT_GT(weights, 10u);
  EXPECT_GT(moments, 0u);
  for (const char* key : {"epoch", "args.arch", "args.tau_plus", "optimizer.param_groups.0.lr"})
    EXPECT_FALSE(file->metadata(key).empty()) << key;
}

/// What a pickle would run stands in it as "module\nname\n".
std::string global_named_in(const std::string& message) {
  const std::string begin = "refusing to execute '";
  const size_t at = message.find(begin);
  if (at == message.npos) return "";
  const size_t start = at + begin.size(), end = message.find('\'', start);
  std::string name = message.substr(start, end - start);
  const size_t dot = name.rfind('.');
  return dot == name.npos ? "" : name.replace(dot, 1, "\n") + "\n";
}

std::vector<std::string> files_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
  return names;
}

TEST(TorchFileReference, RefusesTheMaliciousFile) {
  DCL_NEEDS_REFERENCE();
  const std::vector<std::string> before = files_in(".");
  const std::vector<uint8_t> bytes = read_file(path_of("malicious.pth"), 1 << 20);
  try {
    open_tensor_file(path_of("malicious.pth"));
    FAIL() << "it was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
    const std::string global = global_named_in(error.what());
    ASSERT_FALSE(global.empty()) << error.what();
    EXPECT_NE(std::string(bytes.begin(), bytes.end()).find(global), std::string::npos) << error.what();
  }
  EXPECT_EQ(files_in("."), before);
}

}  // namespace
}  // namespace dcl
