// Reading and writing safetensors files: the byte vectors of the format's own tests, every rule of its validation, and
// the round trip of every element type.
#include "io/safetensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "support/process.h"

namespace dcl {
namespace {

using test::TemporaryFolder;

std::string file_of(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

std::string floats(std::initializer_list<float> values) {
  return {reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(float)};
}

class Safetensors : public testing::Test {
 protected:
  std::string put(const std::string& bytes) {
    const std::string path = folder_ / "x.safetensors";
    test::write_text(path, bytes);
    return path;
  }
  /// The message with which a file is refused; "" when it is accepted.
  std::string refusal(const std::string& bytes) {
    const std::string path = put(bytes);
    try {
      SafetensorsFile file(path);
      return "";
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_EQ(error.kind(), ErrorKind::data) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos);
      EXPECT_NE(message.find(path), std::string::npos) << message;
      EXPECT_EQ(message.find(path), message.rfind(path)) << message;
      return message;
    }
  }
  void refused(const std::string& bytes, const std::string& words) {
    EXPECT_NE(refusal(bytes).find(words), std::string::npos) << "expected '" << words << "' in: " << refusal(bytes);
  }
  void header_refused(const std::string& header, const std::string& data, const std::string& words) {
    SCOPED_TRACE(header.substr(0, 200));
    refused(file_of(header, data), words);
  }

  TemporaryFolder folder_;
};

// ---- Byte vectors published with the format -------------------------------------------------------------------------

TEST_F(Safetensors, ReadsTheEmptyFile) {
  const SafetensorsFile file(put(std::string("\x08\0\0\0\0\0\0\0{}      ", 16)));
  EXPECT_TRUE(file.tensors().empty());
  EXPECT_FALSE(file.has_checksums());
}

TEST_F(Safetensors, ReadsUpstreamVector) {
  const std::string header = R"({"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}})";
  ASSERT_EQ(header.size(), 64u);
  const SafetensorsFile file(put(file_of(header, floats({0, 1, 2, 3, 4, 5}))));
  EXPECT_EQ(file.read_f32("attn.0"), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(file.at("attn.0").shape, (std::vector<int64_t>{1, 2, 3}));
}

TEST_F(Safetensors, ReadsUnalignedData) {
  const std::string header = R"({"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}})";
  ASSERT_EQ(header.size(), 60u);
  const SafetensorsFile file(put(file_of(header, std::string(16, '\0'))));
  EXPECT_EQ(file.read_i64("test"), (std::vector<int64_t>{0, 0, 0, 0}));
}

TEST_F(Safetensors, WritesUpstreamVector) {
  const std::vector<float> values = {0, 1, 2, 3, 4, 5};
  const std::string path = folder_ / "w.safetensors";
  write_safetensors(path, {tensor_source<float>("attn0", {1, 1, 2, 3}, values)}, {}, false);
  const std::string header = R"({"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}})";
  EXPECT_EQ(test::read_text(path), file_of(header + std::string(72 - header.size(), ' '), floats({0, 1, 2, 3, 4, 5})));
}

// ---- Validation -----------------------------------------------------------------------------------------------------

const char* const kOne = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";

TEST_F(Safetensors, RefusesLengthsThatDoNotFit) {
  refused("", "empty");
  refused("1234567", "truncated");
  refused(std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8) + "{}", "at most 100000000");
  refused(std::string("\x01\xe1\xf5\x05\0\0\0\0", 8) + "{}", "at most 100000000");
  refused(std::string("\x40\0\0\0\0\0\0\0", 8) + "{}", "truncated");
  header_refused(kOne, "123", "truncated: expected 4");
  header_refused(kOne, "12345", "1 bytes after its last tensor");
}

TEST_F(Safetensors, RefusesWhatIsNoHeader) {
  header_refused("", "", "does not begin with {");
  header_refused(" {}", "", "does not begin with {");
  header_refused("[]", "", "does not begin with {");
  header_refused("{", "", "not valid JSON");
  header_refused("{}x", "", "not valid JSON");
  header_refused(std::string("{}\0 ", 4), "", "NUL");
  header_refused("{\"\xff\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", "1234", "UTF-8");
  header_refused(R"({"\ud800":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", "1234", "not valid JSON");
  header_refused(R"({"a":1})", "", "a number");
  header_refused(R"({"a":null})", "", "null");
  header_refused(R"({"a":[]})", "", "an array");
  header_refused(R"({"a":{"dtype":true}})", "", "a boolean");
}

TEST_F(Safetensors, RefusesBadTensors) {
  header_refused(R"({"a":{}})", "", "needs dtype, shape and data_offsets");
  header_refused(R"({"a":{"dtype":"F32","shape":[1]}})", "", "needs dtype, shape and data_offsets");
  header_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", "1234", "needs dtype");
  header_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", "1234", "too many entries");
  header_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}})", "1234", "unknown field 'more'");
  header_refused(R"({"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}})", "1",
                 "unsupported dtype 'F4' for tensor 'a'");
  header_refused(R"({"a":{"dtype":7,"shape":[2],"data_offsets":[0,1]}})", "1", "a number");
  header_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "1234", "needs 8 bytes");
  header_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "1234", "ends before it begins");
  header_refused(R"({"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}})", "1234", "a string");
  header_refused(R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", "1234", "an array");
  header_refused(R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", "1", "too many entries");
}

TEST_F(Safetensors, RefusesNumbersThatAreNoPlainIntegers) {
  for (const char* number : {"-1", "-0", "1.0", "1e0", "1E3", "18446744073709551616", "9223372036854775808"})
    EXPECT_NE(refusal(file_of(std::string(R"({"a":{"dtype":"F32","shape":[)") + number + R"(],"data_offsets":[0,4]}})",
                              "1234")),
              "")
        << number;
  for (const char* number : {"NaN", "Infinity", "01", "0x1", "+1"})
    header_refused(std::string(R"({"a":{"dtype":"F32","shape":[)") + number + R"(],"data_offsets":[0,4]}})", "1234",
                   "not valid JSON");
}

TEST_F(Safetensors, RefusesShapesThatOverflow) {
  header_refused(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", "", "overflows");
  header_refused(R"({"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}})", "1234", "overflows");
  header_refused(R"({"a":{"dtype":"U8","shape":[4611686018427387904,2,0],"data_offsets":[0,0]}})", "", "overflows");
  header_refused(R"({"a":{"dtype":"U8","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}})", "", "overflows");
}

TEST_F(Safetensors, RefusesHolesOverlapsAndOffsetsOutside) {
  const auto two = [](const char* first, const char* second) {
    return std::string(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[)") + first +
           R"(]},"b":{"dtype":"F32","shape":[1],"data_offsets":[)" + second + "]}}";
  };
  EXPECT_EQ(refusal(file_of(two("0,4", "4,8"), "12345678")), "");
  EXPECT_EQ(refusal(file_of(two("4,8", "0,4"), "12345678")), "");
  header_refused(two("0,4", "0,4"), "12345678", "holes or overlaps");
  header_refused(two("0,4", "2,6"), "12345678", "holes or overlaps");
  header_refused(two("0,4", "8,12"), "123456781234", "holes or overlaps");
  header_refused(two("4,8", "8,12"), "123456781234", "holes or overlaps");
  header_refused(two("0,4", "4,8"), "1234", "truncated");
}

TEST_F(Safetensors, RefusesDuplicates) {
  header_refused(
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
      "12345678", "twice");
  header_refused(R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234", "dtype twice");
  header_refused(R"({"a":{"dtype":"F32","shape":[2],"shape":[1],"data_offsets":[0,4]}})", "1234", "shape twice");
  header_refused(R"({"__metadata__":{"k":"1","k":"2"}})", "", "'k' twice");
  header_refused(R"({"__metadata__":{},"__metadata__":{}})", "", "__metadata__ twice");
  // The same key in two spellings of JSON.
  header_refused(R"({"__metadata__":{"k":"1","\u006b":"2"}})", "", "'k' twice");
}

TEST_F(Safetensors, RefusesBadMetadataAndNames) {
  header_refused(R"({"__metadata__":{"k":1}})", "", "a number");
  header_refused(R"({"__metadata__":{"k":{}}})", "", "an object");
  header_refused(R"({"__metadata__":"k"})", "", "a string");
  header_refused(R"({"a\u0000b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234", "NUL");
  header_refused("{\"" + std::string(1025, 'n') + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234",
                 "1025 bytes");
  EXPECT_EQ(refusal(file_of("{\"" + std::string(1024, 'n') + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                            "1234")),
            "");
}

TEST_F(Safetensors, SaysWhatAFileIsInstead) {
  refused("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS");
  refused("<!DOCTYPE html><html></html>", "web page");
  refused("PK\x03\x04 and so on", "PyTorch");
  refused("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e and so on", "PyTorch");
  refused("\x80\x02}q and so on", "a bare Python pickle");
}

TEST_F(Safetensors, MessagesStayOneLine) { header_refused("{\"a\\nb\\u001b[31m\":1}", "", "tensor 'a\\nb\\x1b[31m'"); }

TEST_F(Safetensors, RefusesFoldersAndMissingFiles) {
  for (const std::string& path : {folder_.path(), folder_ / "absent"}) {
    try {
      SafetensorsFile file(path);
      FAIL() << path;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    }
  }
}

// ---- Values ---------------------------------------------------------------------------------------------------------

TEST_F(Safetensors, ConvertsEveryType) {
  const std::string header = R"({"i64":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},)"
                             R"("f64":{"dtype":"F64","shape":[],"data_offsets":[16,24]},)"
                             R"("bf16":{"dtype":"BF16","shape":[3],"data_offsets":[24,30]},)"
                             R"("f16":{"dtype":"F16","shape":[7],"data_offsets":[30,44]},)"
                             R"("i8":{"dtype":"I8","shape":[1],"data_offsets":[44,45]},)"
                             R"("u8":{"dtype":"U8","shape":[1],"data_offsets":[45,46]},)"
                             R"("none":{"dtype":"F32","shape":[0,5],"data_offsets":[46,46]},)"
                             R"("b":{"dtype":"BOOL","shape":[2],"data_offsets":[46,48]}})";
  std::string data(48, '\0');
  const int64_t i64[] = {-5, int64_t{1} << 53};
  const double f64 = -0.1;
  const uint16_t bf16[] = {0x3F80, 0xC2C8, 0x7F80};  // 1, -100, inf
  const uint16_t f16[] = {0x3C00, 0xC000, 0x0001, 0x8400,
                          0x7BFF, 0xFC00, 0x7E00};  // 1, -2, 2^-24, -2^-14, 65504, -inf, nan
  std::memcpy(data.data(), i64, 16);
  std::memcpy(data.data() + 16, &f64, 8);
  std::memcpy(data.data() + 24, bf16, 6);
  std::memcpy(data.data() + 30, f16, 14);
  data[44] = -3;
  data[45] = '\xfd';
  data[47] = 1;
  const SafetensorsFile file(put(file_of(header, data)));
  EXPECT_EQ(file.read_i64("i64"), (std::vector<int64_t>{-5, int64_t{1} << 53}));
  EXPECT_EQ(file.read_f32("i64"), (std::vector<float>{-5, 0x1p53f}));
  EXPECT_EQ(file.read_f64("f64"), (std::vector<double>{-0.1}));
  EXPECT_EQ(file.read_f32("bf16"), (std::vector<float>{1, -100, std::numeric_limits<float>::infinity()}));
  const std::vector<float> halves = file.read_f32("f16");
  EXPECT_EQ(std::vector<float>(halves.begin(), halves.end() - 1),
            (std::vector<float>{1, -2, 0x1p-24f, -0x1p-14f, 65504, -std::numeric_limits<float>::infinity()}));
  EXPECT_TRUE(std::isnan(halves.back()));
  EXPECT_EQ(file.read_i64("i8"), (std::vector<int64_t>{-3}));
  EXPECT_EQ(file.read_i64("u8"), (std::vector<int64_t>{253}));
  EXPECT_EQ(file.read_u8("u8"), (std::vector<uint8_t>{253}));
  EXPECT_EQ(file.read_i64("b"), (std::vector<int64_t>{0, 1}));
  EXPECT_TRUE(file.read_f32("none").empty());
  EXPECT_THROW(file.read_i64("f64"), Error);
  EXPECT_THROW(file.read_u8("i8"), Error);
}

TEST_F(Safetensors, NamesMissingTensorsAndWrongShapes) {
  const SafetensorsFile file(put(file_of(kOne, "1234")));
  const auto message = [](auto&& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message([&] { file.at("b"); }).find("tensor 'b' is missing"), std::string::npos);
  const std::vector<int64_t> shape = {2, 3};
  EXPECT_NE(message([&] { file.at("a", shape); }).find("tensor 'a' has shape [1], expected [2, 3]"), std::string::npos);
  EXPECT_NE(message([&] { file.metadata("step"); }).find("'step' is missing"), std::string::npos);
  EXPECT_EQ(file.find("b"), nullptr);
}

TEST_F(Safetensors, RoundTripWithChecksums) {
  std::vector<float> big(700'001);  // more than one piece, not a whole number of pieces
  for (size_t i = 0; i < big.size(); ++i) big[i] = static_cast<float>(i) * 0.5f - 7;
  const std::vector<int64_t> count = {42};
  const std::vector<bf16> halves = {bf16(1.5f), bf16(-2.0f)};
  const std::string path = folder_ / "c.safetensors";
  const FileMetadata metadata = {{"format", "pt"}, {"dcl.version", "0"}, {"quote\"\\", "line\nbreak \xC3\xA9"}};
  const uint64_t size =
      write_safetensors(path,
                        {tensor_source<float>("f.0.weight", {700'001}, big), tensor_source_i64("n", {}, count),
                         tensor_source<bf16>("h", {2}, halves), tensor_source<float>("empty", {0, 3}, {})},
                        metadata);
  EXPECT_EQ(size, std::filesystem::file_size(path));
  const SafetensorsFile file(path);
  EXPECT_TRUE(file.has_checksums());
  file.verify();
  EXPECT_EQ(file.read_f32("f.0.weight"), big);
  EXPECT_EQ(file.read_i64("n"), count);
  EXPECT_EQ(file.read_f32("h"), (std::vector<float>{1.5f, -2.0f}));
  for (const auto& [key, value] : metadata) EXPECT_EQ(file.metadata(key), value);
  // Reference order: by type, then by name.
  std::vector<std::string> order;
  for (const FileTensor& tensor : file.tensors()) order.push_back(tensor.name);
  EXPECT_EQ(order, (std::vector<std::string>{"n", "empty", "f.0.weight", "h"}));
}

TEST_F(Safetensors, ChecksumIsTheKnownOne) {
  // `printf abc | xxhsum -H2`
  const std::vector<uint8_t> abc = {'a', 'b', 'c'};
  const std::string path = folder_ / "s.safetensors";
  write_safetensors(path, {tensor_source<uint8_t>("t", {3}, abc)}, {});
  EXPECT_EQ(SafetensorsFile(path).metadata("dcl.xxh3/t"), "06b05ab6733a618578af5f94892f3950");
}

TEST_F(Safetensors, SourceMustKeepItsContract) {
  const std::string path = folder_ / "b.safetensors";
  TensorSource lying{"t", FileDType::f32, {2}, [](const ByteSink& sink) { sink("1234", 4); }};
  EXPECT_THROW(write_safetensors(path, {lying}, {}), Error);
  const std::vector<float> one = {1};
  EXPECT_THROW(write_safetensors(path, {tensor_source<float>("t", {1}, one), tensor_source<float>("t", {1}, one)}, {}),
               Error);
  EXPECT_THROW(write_safetensors(path, {tensor_source<float>("__metadata__", {1}, one)}, {}), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

}  // namespace
}  // namespace dcl
