// protobuf's wire format: the bytes of its documentation, and fields that read back.
#include "io/protobuf.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "support/proto_reader.h"

namespace dcl {
namespace {

using namespace std::string_literals;

TEST(Protobuf, WritesTheBytesOfItsDocumentation) {
  EXPECT_EQ(ProtoMessage().integer(1, 150).bytes(), "\x08\x96\x01"s);
  EXPECT_EQ(ProtoMessage().text(2, "testing").bytes(), "\x12\x07testing"s);
  EXPECT_EQ(ProtoMessage().message(3, ProtoMessage().integer(1, 150)).bytes(), "\x1a\x03\x08\x96\x01"s);
  EXPECT_EQ(ProtoMessage().integer(1, -2).bytes(), "\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"s);
  EXPECT_EQ(ProtoMessage().integer(1, 0).bytes(), "\x08\x00"s);
  EXPECT_EQ(ProtoMessage().integer(16, 127).bytes(), "\x80\x01\x7f"s);
  EXPECT_EQ(ProtoMessage().number(2, 1.0f).bytes(), "\x15\x00\x00\x80\x3f"s);
  EXPECT_EQ(ProtoMessage().number(1, -2.0).bytes(), "\x09\x00\x00\x00\x00\x00\x00\x00\xc0"s);
}

TEST(Protobuf, FieldsReadBack) {
  const std::array<double, 3> values = {0.5, -1e300, std::numeric_limits<double>::infinity()};
  ProtoMessage message;
  for (const int64_t value : {int64_t{0}, int64_t{-1}, std::numeric_limits<int64_t>::min(), int64_t{1} << 62})
    message.integer(5, value);
  message.packed(6, values).text(7, std::string(300, 'x')).text(8, "").append(ProtoMessage().integer(9, 3));
  const test::ProtoReader reader(message.bytes());
  std::vector<int64_t> integers;
  for (const auto& field : reader.all(5)) integers.push_back(static_cast<int64_t>(field.value));
  EXPECT_EQ(integers, (std::vector<int64_t>{0, -1, std::numeric_limits<int64_t>::min(), int64_t{1} << 62}));
  EXPECT_EQ(reader.values<double>(6), std::vector<double>(values.begin(), values.end()));
  EXPECT_EQ(reader.text(7), std::string(300, 'x'));
  EXPECT_EQ(reader.text(8), "");
  EXPECT_EQ(reader.integer(9), 3);
}

TEST(Protobuf, HeadAndContentMakeAField) {
  const std::string content(1000, 'c');
  EXPECT_EQ(ProtoMessage().head(4, content.size()).bytes() + content, ProtoMessage().text(4, content).bytes());
}

}  // namespace
}  // namespace dcl
