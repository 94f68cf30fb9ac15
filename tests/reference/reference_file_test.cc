// The reader of reference values itself: types, and refusal of damaged or missing tensors.
#include "support/reference_file.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace dcl::test {
namespace {

class ReferenceFileTest : public testing::Test {
 protected:
  void SetUp() override {
    const char* set = std::getenv("DCL_REFERENCE_DIR");
    if (set) before_ = set;
    folder_ = std::filesystem::path(testing::TempDir()) / "dcl_reference_file_test";
    std::filesystem::create_directories(folder_);
    setenv("DCL_REFERENCE_DIR", folder_.c_str(), 1);
  }
  void TearDown() override {
    std::filesystem::remove_all(folder_);
    before_ ? setenv("DCL_REFERENCE_DIR", before_->c_str(), 1) : unsetenv("DCL_REFERENCE_DIR");
  }
  ReferenceFile write(const std::string& header, const std::string& data) {
    const uint64_t bytes = header.size();
    std::ofstream out(folder_ / "t.safetensors", std::ios::binary);
    out.write(reinterpret_cast<const char*>(&bytes), 8) << header << data;
    out.close();
    return ReferenceFile("t.safetensors");
  }

  std::filesystem::path folder_;
  std::optional<std::string> before_;
};

constexpr const char* kHeader =
    R"({"__metadata__":{"cases":"[{\"key\":\"a\"}]"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
    R"("b":{"dtype":"I64","shape":[],"data_offsets":[8,16]}})";

TEST_F(ReferenceFileTest, ReadsValuesAndMetadata) {
  const float a[2] = {1.5f, -2.0f};
  const int64_t b = -7;
  std::string data(16, '\0');
  std::memcpy(data.data(), a, 8);
  std::memcpy(data.data() + 8, &b, 8);
  const ReferenceFile file = write(kHeader, data);
  EXPECT_EQ(file.cases().at(0).at("key"), "a");
  EXPECT_EQ(file.f32("a"), (std::vector<float>{1.5f, -2.0f}));
  EXPECT_EQ(file.f64("a"), (std::vector<double>{1.5, -2.0}));
  EXPECT_EQ(file.i64("b"), std::vector<int64_t>{-7});
  EXPECT_EQ(file.shape("a"), std::vector<int64_t>{2});
  EXPECT_EQ(file.names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_THROW(file.u8("a"), std::runtime_error);
  EXPECT_THROW(file.f64("c"), std::runtime_error);
  EXPECT_THROW(file.metadata("absent"), std::runtime_error);
}

TEST_F(ReferenceFileTest, RefusesDamage) {
  EXPECT_THROW(write(kHeader, std::string(15, '\0')), std::runtime_error);
  EXPECT_THROW(ReferenceFile("absent.safetensors"), std::runtime_error);
  EXPECT_THROW(write(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", std::string(8, '\0')),
               std::runtime_error);
}

}  // namespace
}  // namespace dcl::test
