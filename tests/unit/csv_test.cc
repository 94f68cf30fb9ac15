// CSV quoting.
#include "io/csv.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "support/process.h"

namespace dcl {
namespace {

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
