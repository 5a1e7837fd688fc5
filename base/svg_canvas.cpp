#include "base/svg_canvas.h"

#include <fmt/format.h>

#include "base/markup.h"

namespace hourglass::base {

SvgValue::SvgValue(double value, int digits)
    : text(digits < 0 ? fmt::format("{}", value) : fmt::format("{:.{}f}", value, digits)) {}

SvgCanvas::SvgCanvas(const SvgFrame& frame) : out_("<svg xmlns=\"http://www.w3.org/2000/svg\"") {
  if (frame.white) out_ += fmt::format(" width=\"{:.0f}\" height=\"{:.0f}\"", frame.width, frame.height);
  out_ += fmt::format(" viewBox=\"0 0 {:.0f} {:.0f}\" font-family=\"sans-serif\"", frame.width, frame.height);
  if (frame.font_size > 0) out_ += fmt::format(" font-size=\"{}\"", frame.font_size);
  out_ += ">\n";
  if (!frame.title.empty()) out_ += "<title>" + escaped_markup(frame.title) + "</title>\n";
  if (!frame.style.empty()) out_ += "<style>" + frame.style + "</style>\n";
  if (frame.white) out_ += "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
}

void SvgCanvas::open(const char* name, SvgAttributes attributes, SvgAttributes more) {
  out_ += '<';
  out_ += name;
  for (const SvgAttributes& each : {attributes, more}) {
    for (const SvgAttribute& attribute : each) {
      out_ += ' ';
      out_ += attribute.name;
      out_ += "=\"";
      out_ += attribute.value.text;
      out_ += '"';
    }
  }
}

void SvgCanvas::close(const char* name, std::string_view content) {
  if (content.empty())
    out_ += "/>\n";
  else
    out_.append(">").append(content).append("</").append(name).append(">\n");
}

namespace {

std::string tip_element(std::string_view tip) {
  return tip.empty() ? "" : "<title>" + escaped_markup(tip) + "</title>";
}

}  // namespace

SvgCanvas& SvgCanvas::rect(SvgValue x, SvgValue y, SvgValue width, SvgValue height, SvgAttributes more,
                           std::string_view tip) {
  open("rect", {{"x", std::move(x)}, {"y", std::move(y)}, {"width", std::move(width)}, {"height", std::move(height)}},
       more);
  close("rect", tip_element(tip));
  return *this;
}

SvgCanvas& SvgCanvas::line(SvgValue x1, SvgValue y1, SvgValue x2, SvgValue y2, SvgAttributes more,
                           std::string_view tip) {
  open("line", {{"x1", std::move(x1)}, {"y1", std::move(y1)}, {"x2", std::move(x2)}, {"y2", std::move(y2)}}, more);
  close("line", tip_element(tip));
  return *this;
}

SvgCanvas& SvgCanvas::text(SvgValue x, SvgValue y, std::string_view words, SvgAttributes more) {
  return marked_text(std::move(x), std::move(y), escaped_markup(words), more);
}

SvgCanvas& SvgCanvas::marked_text(SvgValue x, SvgValue y, std::string_view markup, SvgAttributes more) {
  open("text", {{"x", std::move(x)}, {"y", std::move(y)}}, more);
  out_.append(">").append(markup).append("</text>\n");
  return *this;
}

SvgCanvas& SvgCanvas::element(const char* name, SvgAttributes attributes) {
  open(name, attributes, {});
  close(name, "");
  return *this;
}

SvgCanvas& SvgCanvas::beside() {
  out_.pop_back();
  return *this;
}

std::string SvgCanvas::take() && { return std::move(out_) + "</svg>\n"; }

}  // namespace hourglass::base
