// Numbers as text and CSV quoting.
#include "io/csv.h"

#include <gtest/gtest.h>

#include <clocale>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "core/error.h"
#include "support/process.h"

namespace dcl {
namespace {

TEST(Csv, NumbersReadBackAsTheSame) {
  for (const double value : {0.1, 1.0 / 3, 1e300, 5e-324, -0.0, 123456789.123456789})
    EXPECT_EQ(std::strtod(number_text(value).c_str(), nullptr), value);
  EXPECT_EQ(number_text(0.1f), "0.1");
  EXPECT_EQ(number_text(0.1), "0.1");
  EXPECT_EQ(number_text(int64_t{-7}), "-7");
  EXPECT_EQ(number_text(std::nan("")), "nan");
  EXPECT_EQ(number_text(-std::numeric_limits<double>::infinity()), "-inf");
}

TEST(Csv, NumbersIgnoreTheLocale) {
  // Only a machine with such a locale can show the difference; the text must be the same on all.
  const char* set = std::setlocale(LC_ALL, "de_DE.UTF-8");
  EXPECT_EQ(number_text(0.5), "0.5");
  if (set) std::setlocale(LC_ALL, "C");
}

TEST(Csv, QuotesOnlyWhereNeeded) {
  EXPECT_EQ(csv_field("plain"), "plain");
  EXPECT_EQ(csv_field(""), "");
  EXPECT_EQ(csv_field("a,b"), "\"a,b\"");
  EXPECT_EQ(csv_field("say \"x\""), "\"say \"\"x\"\"\"");
  EXPECT_EQ(csv_field("two\nlines"), "\"two\nlines\"");
  EXPECT_EQ(csv_field(" edge"), "\" edge\"");
}

TEST(Csv, SplitUndoesLine) {
  const std::vector<std::string> fields = {"a", "", "b,c", "say \"x\"", "two\nlines", "\xC3\xA9", " "};
  std::string line = csv_line(fields);
  ASSERT_EQ(line.back(), '\n');
  line.pop_back();
  EXPECT_EQ(csv_split(line), fields);
  EXPECT_EQ(csv_split(""), std::vector<std::string>{""});
  EXPECT_EQ(csv_split("\"\",a"), (std::vector<std::string>{"", "a"})) << "as other programs write what is empty";
}

TEST(Csv, WritesATable) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "t.csv";
  CsvWriter csv(path, {"file", "label", "x"});
  csv.field("a,b.png").field(3).field(0.25f).end_row();
  csv.field("c.png").field(int64_t{-1}).field(1e-7).end_row();
  EXPECT_FALSE(std::filesystem::exists(path));
  csv.commit();
  EXPECT_EQ(test::read_text(path), "file,label,x\n\"a,b.png\",3,0.25\nc.png,-1,1e-07\n");
}

TEST(Csv, RowsHaveTheHeadersWidth) {
  const test::TemporaryFolder folder;
  CsvWriter csv(folder / "t.csv", {"a", "b"});
  csv.field("1");
  EXPECT_THROW(csv.end_row(), Error);
}

}  // namespace
}  // namespace dcl
