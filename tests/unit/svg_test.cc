// Scatter plots: what they show, and that they are well-formed whatever names say.
#include "io/svg.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "io/utf8.h"

namespace dcl {
namespace {

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

/// The first thing wrong with an XML text of elements, attributes and text; empty when nothing is.
std::string xml_defect(const std::string& xml) {
  if (!is_utf8(xml)) return "not UTF-8";
  for (const char c : xml)
    if (static_cast<unsigned char>(c) < ' ' && c != '\n') return "control character";
  std::vector<std::string> open;
  for (size_t at = xml.find("?>") + 2; at < xml.size();) {
    const size_t tag = std::min(xml.find('<', at), xml.size());
    const std::string text = xml.substr(at, tag - at);
    if (text.find('>') != text.npos) return "stray > in " + text;
    for (size_t amp = text.find('&'); amp != text.npos; amp = text.find('&', amp + 1)) {
      const std::string entity = text.substr(amp, text.find(';', amp) - amp);
      if (entity != "&amp" && entity != "&lt" && entity != "&gt" && entity != "&quot") return "entity " + entity;
    }
    if (tag == xml.size()) break;
    const size_t end = xml.find('>', tag);
    if (end == xml.npos) return "unclosed tag";
    const std::string inside = xml.substr(tag + 1, end - tag - 1),
                      name = inside.substr(0, inside.find_first_of(" /", 1));
    if (count(inside, "\"") % 2 || inside.find('<') != inside.npos) return "tag " + inside;
    if (name[0] == '/') {
      if (open.empty() || "/" + open.back() != name) return "unexpected " + name;
      open.pop_back();
    } else if (inside.back() != '/') {
      open.push_back(name);
    }
    at = end + 1;
  }
  return open.empty() ? "" : "open " + open.back();
}

ScatterPlot plot_of(size_t groups, size_t dots_each) {
  ScatterPlot plot{.heading = "a map"};
  for (size_t g = 0; g < groups; ++g) {
    plot.groups.push_back("name" + std::to_string(g));
    for (size_t i = 0; i < dots_each; ++i)
      plot.dots.push_back({{static_cast<double>(i), static_cast<double>(g)}, static_cast<int32_t>(g), "dot"});
  }
  return plot;
}

TEST(Svg, EscapesWhatXmlGivesAMeaningOrDoesNotAllow) {
  EXPECT_EQ(xml_text("a <b> & \"c\" 'd'"), "a &lt;b&gt; &amp; &quot;c&quot; 'd'");
  EXPECT_EQ(xml_text(std::string("\0\x01\n\x1B\x7F", 5)),
            xml_text("\xEF\xBF\xBE\xEF\xBF\xBE\xEF\xBF\xBE\xEF\xBF\xBE\xEF\xBF\xBE"));
  EXPECT_EQ(xml_text("\xFF"), "\\xff");
  EXPECT_EQ(xml_text("\xC2\x85\xEF\xBF\xBE\xEF\xBF\xBF"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(xml_text("\xC3\xA4\xE4\xBD\xA0\xF0\x9F\x90\x88"), "\xC3\xA4\xE4\xBD\xA0\xF0\x9F\x90\x88");
}

TEST(Svg, IsWellFormedWhateverNamesSay) {
  ScatterPlot plot{.heading = "</svg><script>", .groups = {"]]>&amp;<", std::string(100, '<')}};
  for (const char* title : {"\"><script>alert(1)</script>", "a\x01\xFF\x80\n\t", "&#0;", "--><!-- <![CDATA["})
    for (const int32_t group : {0, 1, ScatterPlot::kNoGroup}) plot.dots.push_back({{1, 2}, group, title});
  const std::string svg = scatter_svg(plot);
  EXPECT_EQ(xml_defect(svg), "");
  EXPECT_EQ(svg.find("<script"), svg.npos);
  EXPECT_EQ(svg.find("<!"), svg.npos);
  EXPECT_NE(xml_defect(svg + "<"), "") << "the test sees defects";
}

TEST(Svg, DotsInTheFrameWithTitles) {
  ScatterPlot plot{.heading = "a map"};
  plot.dots = {{{-1e300, 5}, -1, "left"}, {{1e300, 5}, -1, "right"}};
  const std::string svg = scatter_svg(plot);
  EXPECT_EQ(xml_defect(svg), "");
  EXPECT_NE(svg.find("cx=\"21.00\" cy=\"394.00\" r=\"5.00\"><title>left</title></circle>"), svg.npos) << svg;
  EXPECT_NE(svg.find("cx=\"731.00\" cy=\"394.00\" r=\"5.00\"><title>right</title></circle>"), svg.npos) << svg;
  EXPECT_EQ(count(svg, "<circle"), 2u) << "no legend without groups";

  plot.dots = {{{0, 0}, -1, "below"}, {{0, 9}, -1, "above"}};
  const std::string upright = scatter_svg(plot);
  EXPECT_NE(upright.find("cx=\"376.00\" cy=\"39.00\" r=\"5.00\"><title>above"), upright.npos) << upright;
  plot.dots = {{{3, 3}, -1, "one"}, {{3, 3}, -1, "place"}};
  EXPECT_EQ(count(scatter_svg(plot), "cx=\"376.00\" cy=\"394.00\""), 2u);
  plot.dots.clear();
  EXPECT_EQ(xml_defect(scatter_svg(plot)), "");
}

TEST(Svg, LegendNamesTheGroupsThatHaveDots) {
  ScatterPlot plot = plot_of(3, 4);
  std::erase_if(plot.dots, [](const auto& dot) { return dot.group == 1; });
  plot.groups[2] = "\xC3\xA4 name that is longer than a legend holds";
  const std::string without = scatter_svg(plot);
  EXPECT_NE(without.find(">name0<title>name0: 4</title></text>"), without.npos);
  EXPECT_EQ(without.find("name1"), without.npos);
  EXPECT_NE(without.find(">\xC3\xA4 name that is longer\xE2\x80\xA6<title>" + plot.groups[2] + ": 4"), without.npos)
      << without;
  EXPECT_EQ(without.find("no label"), without.npos);
  plot.dots.push_back({{0, 0}, ScatterPlot::kNoGroup, "x"});
  const std::string with = scatter_svg(plot);
  EXPECT_NE(with.find(">no label<title>no label: 1</title></text>"), with.npos);
  EXPECT_LT(with.find("<title>x</title>"), with.find("<title>dot</title>")) << "grey dots lie below";
}

TEST(Svg, EveryGroupHasAColour) {
  for (const size_t groups : {size_t{10}, size_t{11}, size_t{100}}) {
    const std::string svg = scatter_svg(plot_of(groups, 1));
    EXPECT_EQ(xml_defect(svg), "");
    std::set<std::string> colours;
    for (size_t g = 0; g < groups; ++g) {
      const std::string rule = ".g" + std::to_string(g) + "{fill:#";
      ASSERT_NE(svg.find(rule), svg.npos);
      colours.insert(svg.substr(svg.find(rule) + rule.size(), 6));
    }
    EXPECT_EQ(colours.size(), groups);
    for (const std::string& colour : colours)
      EXPECT_EQ(colour.find_first_not_of("0123456789abcdef"), colour.npos) << colour;
  }
  const std::string many = scatter_svg(plot_of(1000, 1));
  EXPECT_NE(many.find("and 857 more"), many.npos);
  EXPECT_EQ(count(many, "<circle"), 1143u);
}

TEST(Svg, GroupsAreDrawnInMixedOrder) {
  const std::string svg = scatter_svg(plot_of(2, 50));
  std::vector<size_t> places;
  for (const char* group : {"class=\"g0\"", "class=\"g1\""}) {
    size_t at = svg.find(group);
    for (int i = 0; i < 25; ++i) at = svg.find(group, at + 1);
    places.push_back(count(svg.substr(0, at), "<circle"));
  }
  EXPECT_NEAR(static_cast<double>(places[0]), static_cast<double>(places[1]), 2) << "the 26th of both";
}

}  // namespace
}  // namespace dcl
