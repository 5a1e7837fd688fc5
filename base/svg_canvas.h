#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

// A picture in SVG, written element by element: sans-serif words and plain shapes in user units.
namespace hourglass::base {

// What an attribute is set to. Numbers are written in full, or with so many digits behind the point.
struct SvgValue {
  SvgValue(const char* value) : text(value) {}             // NOLINT(google-explicit-constructor)
  SvgValue(std::string value) : text(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  SvgValue(double value, int digits = -1);                 // NOLINT(google-explicit-constructor)
  std::string text;
};

struct SvgAttribute {
  const char* name;
  SvgValue value;
};
using SvgAttributes = std::initializer_list<SvgAttribute>;

struct SvgFrame {
  double width = 0.0, height = 0.0;
  int font_size = 12;      // 0: the style sheet says
  std::string style = "";  // a sheet of CSS
  std::string title = "";  // not drawn
  bool white = true;       // on white, and as large as it says; else as large as there is room, on nothing
};

class SvgCanvas {
 public:
  explicit SvgCanvas(const SvgFrame& frame);

  // `words` and `tip` (what a pointer is shown) may hold anything.
  SvgCanvas& rect(SvgValue x, SvgValue y, SvgValue width, SvgValue height, SvgAttributes more,
                  std::string_view tip = "");
  SvgCanvas& line(SvgValue x1, SvgValue y1, SvgValue x2, SvgValue y2, SvgAttributes more, std::string_view tip = "");
  SvgCanvas& text(SvgValue x, SvgValue y, std::string_view words, SvgAttributes more = {});
  // The same where the words are markup.
  SvgCanvas& marked_text(SvgValue x, SvgValue y, std::string_view markup, SvgAttributes more = {});
  SvgCanvas& element(const char* name, SvgAttributes attributes);
  // The next element stands on the line of the last one.
  SvgCanvas& beside();
  std::string take() &&;

 private:
  void open(const char* name, SvgAttributes attributes, SvgAttributes more);
  void close(const char* name, std::string_view content);

  std::string out_;
};

}  // namespace hourglass::base
