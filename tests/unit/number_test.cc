// Numbers from text and as text.
#include "core/number.h"

#include <gtest/gtest.h>

#include <clocale>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

namespace dcl {
namespace {

TEST(Number, ReadsBackAsTheSame) {
  for (const double value : {0.1, 1.0 / 3, 1e300, 5e-324, -0.0, 123456789.123456789})
    EXPECT_EQ(std::strtod(number_text(value).c_str(), nullptr), value);
  EXPECT_EQ(number_text(0.1f), "0.1");
  EXPECT_EQ(number_text(0.1), "0.1");
  EXPECT_EQ(number_text(int64_t{-7}), "-7");
  EXPECT_EQ(number_text(std::nan("")), "nan");
  EXPECT_EQ(number_text(-std::numeric_limits<double>::infinity()), "-inf");
}

TEST(Number, IgnoresTheLocale) {
  // Only a machine with such a locale can show the difference; the text must be the same on all.
  const char* set = std::setlocale(LC_ALL, "de_DE.UTF-8");
  EXPECT_EQ(number_text(0.5), "0.5");
  EXPECT_EQ(rounded_text(0.5, 4), "0.5");
  if (set) std::setlocale(LC_ALL, "C");
}

TEST(Number, RoundsAsPrintfDoes) {
  for (const double value : {0.11920292202211755, 123456.0, 1e-9, 0.5, -2.0, 99999.5}) {
    char expected[32];
    std::snprintf(expected, sizeof expected, "%.4g", value);
    EXPECT_EQ(rounded_text(value, 4), expected);
  }
  EXPECT_EQ(rounded_text(std::nan(""), 4), "nan");
}

TEST(Number, OnlyWholeTextsAreNumbers) {
  EXPECT_EQ(parse_number<int>("-12"), -12);
  EXPECT_EQ(parse_number<double>("1e-3"), 1e-3);
  for (const char* text : {"", " 1", "1 ", "1x", "+1", "0x10", "99999999999"})
    EXPECT_FALSE(parse_number<int>(text)) << text;
  EXPECT_EQ(parse_number<int>(without_plus("+1")), 1);
  EXPECT_FALSE(parse_number<int>(without_plus("+-1")));
}

}  // namespace
}  // namespace dcl
