// PyTorch files of our own: every type and shape comes back, the same bytes each time, nothing is left of a failure.
#include <filesystem>

#include "support/process.h"
#include "support/torch_bytes.h"

namespace dcl::test {
namespace {

class TorchWriter : public testing::TestWithParam<TorchFormat> {
 protected:
  TemporaryFolder folder_;
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
  EXPECT_EQ(read_text(folder_ / "a.pth"), read_text(folder_ / "b.pth"));
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
}  // namespace dcl::test
