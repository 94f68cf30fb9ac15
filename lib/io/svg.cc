#include "io/svg.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "core/number.h"
#include "io/utf8.h"

namespace dcl {
namespace {

constexpr double kSide = 720, kMargin = 16, kHeading = 34;
constexpr double kEntryHeight = 20, kColumnWidth = 180;
constexpr size_t kMaxColumns = 4, kEntriesPerColumn = 36;  // what kSide holds
constexpr size_t kLongestName = 22;                        // characters
constexpr const char* kNoGroupColour = "#c4c4c4";

/// Okabe and Ito's palette ("Color universal design", 2008) and two dark colours of Tol's.
constexpr std::array<const char*, 10> kColours = {"#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9",
                                                  "#cc79a7", "#332288", "#882255", "#f0e442", "#000000"};

std::string decimal(double value) {
  char text[400];  // holds every double
  const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::fixed, 2).ptr;
  return {text, end};
}

/// Of a hue in degrees, saturation and lightness in [0, 1], as CSS defines hsl().
std::string hsl_colour(double hue, double saturation, double lightness) {
  std::string colour = "#";
  for (const double offset : {0.0, 8.0, 4.0}) {
    const double k = std::fmod(offset + hue / 30, 12);
    const double ramp = std::clamp(std::min(k - 3, 9 - k), -1.0, 1.0);
    const double value = lightness - saturation * std::min(lightness, 1 - lightness) * ramp;
    const auto level = static_cast<unsigned>(std::lround(255 * value));
    colour += {kHexDigits[level / 16], kHexDigits[level % 16]};
  }
  return colour;
}

/// Consecutive groups are a golden angle apart, and of four lightnesses in turn.
std::string colour_of(size_t group, size_t groups) {
  if (groups <= kColours.size()) return kColours[group];
  constexpr double kGoldenAngle = 137.50776405, kLightness[] = {0.45, 0.68, 0.28, 0.56};
  return hsl_colour(std::fmod(static_cast<double>(group) * kGoldenAngle, 360), 0.75, kLightness[group % 4]);
}

std::string shortened(std::string_view text) {
  size_t end = 0, last = 0;
  for (size_t characters = 0; end < text.size(); ++characters) {
    if (characters == kLongestName) return std::string(text.substr(0, last)) + "\xE2\x80\xA6";
    if (characters + 1 == kLongestName) last = end;
    end += std::max<size_t>(1, utf8_length(text.substr(end)));
  }
  return std::string(text);
}

/// Number of dots of each group; those without one come last.
std::vector<size_t> sizes_of(const ScatterPlot& plot) {
  std::vector<size_t> sizes(plot.groups.size() + 1);
  for (const auto& dot : plot.dots)
    ++sizes[dot.group == ScatterPlot::kNoGroup ? plot.groups.size() : static_cast<size_t>(dot.group)];
  return sizes;
}

/// Those without a group first; then so that every stretch of the order has its share of every group.
std::vector<size_t> drawing_order(const ScatterPlot& plot) {
  const std::vector<size_t> sizes = sizes_of(plot);
  std::vector<size_t> seen(sizes.size()), order(plot.dots.size());
  std::vector<double> place(plot.dots.size());
  for (size_t i = 0; i < plot.dots.size(); ++i) {
    order[i] = i;
    if (plot.dots[i].group == ScatterPlot::kNoGroup) continue;
    const auto group = static_cast<size_t>(plot.dots[i].group);
    place[i] = (static_cast<double>(seen[group]++) + 0.5) / static_cast<double>(sizes[group]);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return place[a] < place[b]; });
  return order;
}

/// From the plot's coordinates to the drawing's.
class Frame {
 public:
  Frame(const std::vector<ScatterPlot::Dot>& dots, double radius) {
    if (dots.empty()) return;
    Point low = dots[0].at, high = low;
    for (const auto& dot : dots) {
      low = {std::min(low.x, dot.at.x), std::min(low.y, dot.at.y)};
      high = {std::max(high.x, dot.at.x), std::max(high.y, dot.at.y)};
    }
    centre_ = {low.x / 2 + high.x / 2, low.y / 2 + high.y / 2};
    const double half = std::max(high.x / 2 - low.x / 2, high.y / 2 - low.y / 2);
    scale_ = half > 0 ? (kSide / 2 - radius) / half : 0;
  }

  Point operator()(Point at) const {
    return {kMargin + kSide / 2 + (at.x - centre_.x) * scale_, kHeading + kSide / 2 - (at.y - centre_.y) * scale_};
  }

 private:
  Point centre_;
  double scale_ = 0;
};

std::string class_of(int32_t group) { return group == ScatterPlot::kNoGroup ? "none" : "g" + std::to_string(group); }

struct Entry {
  int32_t group;
  std::string name;
  size_t dots;
};

std::vector<Entry> legend_of(const ScatterPlot& plot) {
  const std::vector<size_t> sizes = sizes_of(plot);
  std::vector<Entry> entries;
  for (size_t group = 0; group < plot.groups.size(); ++group)
    if (sizes[group] > 0) entries.push_back({static_cast<int32_t>(group), plot.groups[group], sizes[group]});
  if (!entries.empty() && sizes.back() > 0) entries.push_back({ScatterPlot::kNoGroup, "no label", sizes.back()});
  return entries;
}

size_t columns_of(size_t entries) {
  return std::min(kMaxColumns, (entries + kEntriesPerColumn - 1) / kEntriesPerColumn);
}

std::string legend_svg(const std::vector<Entry>& entries) {
  std::string svg;
  const size_t room = kMaxColumns * kEntriesPerColumn;
  const size_t shown = entries.size() <= room ? entries.size() : room - 1;
  const auto place = [](size_t entry) {
    return Point{2 * kMargin + kSide + static_cast<double>(entry / kEntriesPerColumn) * kColumnWidth,
                 kHeading + (static_cast<double>(entry % kEntriesPerColumn) + 0.5) * kEntryHeight};
  };
  const auto text_at = [&](Point at) {
    return "<text x=\"" + decimal(at.x + 16) + "\" y=\"" + decimal(at.y + 4) + "\">";
  };
  for (size_t i = 0; i < shown; ++i) {
    const Point at = place(i);
    const Entry& entry = entries[i];
    svg += "<circle class=\"" + class_of(entry.group) + "\" cx=\"" + decimal(at.x + 5) + "\" cy=\"" + decimal(at.y) +
           "\" r=\"5\"/>" + text_at(at) + xml_text(shortened(entry.name)) + "<title>" + xml_text(entry.name) + ": " +
           std::to_string(entry.dots) + "</title></text>\n";
  }
  if (shown < entries.size())
    svg += text_at(place(shown)) + "and " + std::to_string(entries.size() - shown) + " more</text>\n";
  return svg;
}

std::string style_svg(const ScatterPlot& plot, const std::vector<Entry>& entries) {
  std::string css = "text{font:13px sans-serif;fill:#222}circle{stroke:#000;stroke-opacity:.3;stroke-width:.4}";
  css += std::string(".none{fill:") + kNoGroupColour + "}";
  for (const Entry& entry : entries)
    if (entry.group != ScatterPlot::kNoGroup)
      css += "." + class_of(entry.group) + "{fill:" + colour_of(static_cast<size_t>(entry.group), plot.groups.size()) +
             "}";
  return "<style>" + css + "</style>\n";
}

}  // namespace

std::string xml_text(std::string_view text) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  std::string out;
  const std::string valid = made_utf8(text);
  for (std::string_view rest = valid; !rest.empty();) {
    const std::string_view character = rest.substr(0, utf8_length(rest));
    rest.remove_prefix(character.size());
    const auto first = static_cast<unsigned char>(character[0]);
    const bool control =
        first < 0x20 || first == 0x7F || (first == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0);
    if (control || character == "\xEF\xBF\xBE" || character == "\xEF\xBF\xBF")
      out += kReplacement;
    else if (character == "&")
      out += "&amp;";
    else if (character == "<")
      out += "&lt;";
    else if (character == ">")
      out += "&gt;";
    else if (character == "\"")
      out += "&quot;";
    else
      out += character;
  }
  return out;
}

std::string scatter_svg(const ScatterPlot& plot) {
  const std::vector<Entry> entries = legend_of(plot);
  const size_t columns = columns_of(entries.size());
  const double width = kSide + 2 * kMargin + (columns > 0 ? kMargin + static_cast<double>(columns) * kColumnWidth : 0);
  const double height = kHeading + kSide + kMargin;
  const double radius = std::clamp(180 / std::sqrt(static_cast<double>(plot.dots.size()) + 1), 1.8, 5.0);
  const std::string size = "width=\"" + decimal(width) + "\" height=\"" + decimal(height) + "\"";

  std::string svg = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" " + size +
                    " viewBox=\"0 0 " + decimal(width) + " " + decimal(height) + "\">\n";
  svg += "<title>" + xml_text(plot.heading) + "</title>\n" + style_svg(plot, entries);
  svg += "<rect " + size + " fill=\"#fff\"/>\n<text x=\"" + decimal(kMargin) + "\" y=\"22\">" + xml_text(plot.heading) +
         "</text>\n";
  const Frame frame(plot.dots, radius);
  for (const size_t i : drawing_order(plot)) {
    const ScatterPlot::Dot& dot = plot.dots[i];
    const Point at = frame(dot.at);
    svg += "<circle class=\"" + class_of(dot.group) + "\" cx=\"" + decimal(at.x) + "\" cy=\"" + decimal(at.y) +
           "\" r=\"" + decimal(radius) + "\"><title>" + xml_text(dot.title) + "</title></circle>\n";
  }
  return svg + legend_svg(entries) + "</svg>\n";
}

}  // namespace dcl
