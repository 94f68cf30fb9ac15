// NumPy files: the bytes NumPy itself writes, headers in every accepted form, refusal of the rest.
#include "io/npy.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "core/error.h"
#include "support/process.h"

namespace dcl {
namespace {

using test::TemporaryFolder;

std::string file_of(int major, const std::string& header, const std::string& data) {
  std::string out("\x93NUMPY", 6);
  out += static_cast<char>(major);
  out += '\0';
  const size_t width = major > 1 ? 4 : 2;
  for (size_t i = 0; i < width; ++i) out += static_cast<char>(header.size() >> (8 * i) & 255);
  return out + header + data;
}

class Npy : public testing::Test {
 protected:
  std::string put(const std::string& bytes) {
    const std::string path = folder_ / "x.npy";
    test::write_text(path, bytes);
    return path;
  }
  std::string refusal(const std::string& bytes) {
    try {
      read_npy_f32(put(bytes));
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::data);
      return error.what();
    }
  }
  void refused(const std::string& bytes, const std::string& words) {
    EXPECT_NE(refusal(bytes).find(words), std::string::npos) << "expected '" << words << "' in: " << refusal(bytes);
  }
  TemporaryFolder folder_;
};

std::string header(const std::string& descr, const std::string& order, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
}

TEST_F(Npy, WritesVersionOneAlignedTo64) {
  const std::string path = folder_ / "w.npy";
  NpyWriter writer(path, NpyWriter::Type::f32, {2});
  const std::vector<float> first = {1, 2}, rest = {3, 4, 5, 6};
  writer.append(first);
  writer.append(rest);
  EXPECT_FALSE(std::filesystem::exists(path));
  writer.commit();
  const std::string bytes = test::read_text(path);
  EXPECT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const size_t length = static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
  EXPECT_EQ((10 + length) % 64, 0u);
  EXPECT_EQ(bytes[9 + length], '\n');
  EXPECT_EQ(bytes.size(), 10 + length + 24);
  EXPECT_EQ(bytes.substr(10, 59), "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }");
  const NpyArray<float> array = read_npy_f32(path);
  EXPECT_EQ(array.shape, (std::vector<int64_t>{3, 2}));
  EXPECT_EQ(array.values, (std::vector<float>{1, 2, 3, 4, 5, 6}));
}

TEST_F(Npy, WritesOneAxis) {
  const std::string path = folder_ / "l.npy";
  NpyWriter writer(path, NpyWriter::Type::i64, {});
  const std::vector<int64_t> labels = {7, -1, int64_t{1} << 40};
  writer.append(labels);
  writer.commit();
  EXPECT_NE(test::read_text(path).find("'shape': (3,), }"), std::string::npos);
  const NpyArray<int64_t> array = read_npy_i64(path);
  EXPECT_EQ(array.shape, std::vector<int64_t>{3});
  EXPECT_EQ(array.values, labels);
}

TEST_F(Npy, AnArrayWithoutRowsIsValid) {
  const std::string path = folder_ / "e.npy";
  NpyWriter(path, NpyWriter::Type::f32, {4}).commit();
  EXPECT_EQ(read_npy_f32(path).shape, (std::vector<int64_t>{0, 4}));
}

TEST_F(Npy, AppendTakesWholeRowsOfItsType) {
  NpyWriter writer(folder_ / "w.npy", NpyWriter::Type::f32, {2});
  const std::vector<float> odd = {1, 2, 3};
  const std::vector<int64_t> other = {1, 2};
  EXPECT_THROW(writer.append(odd), Error);
  EXPECT_THROW(writer.append(other), Error);
}

TEST_F(Npy, ReadsAnyOrderOfKeysAndSpacing) {
  const std::string data("\0\0\x80?\0\0\0@", 8);
  EXPECT_EQ(read_npy_f32(put(file_of(1, "{'shape':(2,),'descr':'<f4','fortran_order':False}", data))).values,
            (std::vector<float>{1, 2}));
  EXPECT_EQ(
      read_npy_f32(put(file_of(2, "{ \"shape\" : ( 1 , 2 , ) , 'fortran_order': False, 'descr': '<f4' , }  \n", data)))
          .shape,
      (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(read_npy_f32(put(file_of(3, header("<f4", "True", "(2,)"), data))).values, (std::vector<float>{1, 2}));
  for (const char* python2 : {"(2L,)", "(1L, 2L)"})
    EXPECT_EQ(read_npy_f32(put(file_of(1, header("<f4", "False", python2), data))).values, (std::vector<float>{1, 2}));
}

TEST_F(Npy, ReadsScalarsTypesAndByteOrders) {
  EXPECT_EQ(read_npy_f64(put(file_of(1, header("<f8", "False", "()"), std::string("\0\0\0\0\0\0\xf0?", 8)))).values,
            std::vector<double>{1});
  EXPECT_EQ(read_npy_f32(put(file_of(1, header(">f4", "False", "(1,)"), std::string("?\x80\0\0", 4)))).values,
            std::vector<float>{1});
  EXPECT_EQ(
      read_npy_i64(put(file_of(1, header(">i8", "False", "(1,)"), std::string("\0\0\0\0\0\0\x01\x02", 8)))).values,
      std::vector<int64_t>{258});
  EXPECT_EQ(read_npy_i64(put(file_of(1, header("|u1", "False", "(2,)"), "\xff\x01"))).values,
            (std::vector<int64_t>{255, 1}));
  EXPECT_EQ(read_npy_f32(put(file_of(1, header("<f2", "False", "(1,)"), std::string("\0<", 2)))).values,
            std::vector<float>{1});
  EXPECT_THROW(read_npy_i64(put(file_of(1, header("<f4", "False", "(1,)"), "1234"))), Error);
}

TEST_F(Npy, ReadsFortranOrder) {
  const std::string columns("\1\4\2\5\3\6", 6), wide("\0\1\0\3\0\2\0\4", 8);
  EXPECT_EQ(read_npy_i64(put(file_of(1, header("|i1", "True", "(2, 3)"), columns))).values,
            (std::vector<int64_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(read_npy_i64(put(file_of(1, header(">i2", "True", "(2, 2)"), wide))).values,
            (std::vector<int64_t>{1, 2, 3, 4}));
  EXPECT_EQ(read_npy_i64(put(file_of(1, header("|i1", "True", "(2, 0)"), ""))).shape, (std::vector<int64_t>{2, 0}));
}

TEST_F(Npy, RefusesTheRest) {
  refused("", "no NumPy file");
  refused("PK\x03\x04 a zip of arrays", "no NumPy file");
  refused(file_of(4, header("<f4", "False", "(1,)"), "1234"), "version 4.0");
  refused(file_of(1, header("|O", "False", "(1,)"), "1234"), "unsupported element type");
  refused(file_of(1, header("<c8", "False", "(1,)"), "12345678"), "unsupported element type");
  refused(file_of(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "1234"), "structured");
  refused(file_of(1, header("<f4", "False", "(1, 1, 1, 1, 1, 1, 1, 1, 1)"), "1234"), "9 axes, expected at most 8");
  refused(file_of(1, header("<f4", "False", "(2,)"), "1234"), "needs 8 bytes of data, the file has 4");
  refused(file_of(1, header("<f4", "False", "(1,)"), "12345"), "needs 4 bytes of data, the file has 5");
  refused(file_of(1, header("<f4", "False", "(-1,)"), "1234"), "non-negative");
  refused(file_of(1, header("<f4", "False", "(1)"), "1234"), "no tuple");
  refused(file_of(1, header("<f4", "Maybe", "(1,)"), "1234"), "neither True nor False");
  refused(file_of(1, header("<f4", "False", "(4294967296, 4294967296, 4)"), "1234"), "overflows");
  refused(file_of(1, header("|u1", "False", "(4611686018427387904, 4, 0)"), ""), "overflows");
  refused(file_of(1, header("|u1", "True", "(0, 4611686018427387904, 4)"), ""), "overflows");
  refused(file_of(1, header("<f4", "False", "(1,)") + "x", "1234"), "after the dictionary");
  refused(file_of(1, "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", "1234"), "twice");
  refused(file_of(1, "{'descr': '<f4', 'fortran_order': False}", "1234"), "are needed");
  refused(file_of(1, "{'descr': '<f4', 'extra': 1}", "1234"), "unknown key");
  refused(file_of(2, std::string(10'001, ' '), ""), "at most 10000");
  const std::string whole = file_of(1, header("<f4", "False", "(1,)"), "1234");
  for (size_t length = 0; length < whole.size(); ++length) EXPECT_NE(refusal(whole.substr(0, length)), "") << length;
}

}  // namespace
}  // namespace dcl
