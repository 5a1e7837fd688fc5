#include <doctest/doctest.h>

#include "base/svg_canvas.h"

using namespace hourglass;

TEST_CASE("a picture is written element by element, and no word of it can become markup") {
  base::SvgCanvas canvas({100.0, 49.6, 12, "", "a < b"});
  canvas.rect({1.0, 2}, 2.5, "30", {4.04, 1}, {{"fill", "#fff"}}, "\"tip\"").beside();
  canvas.text(1.0, {2.0, 1}, "</text>&", {{"class", "r"}});
  canvas.line("0", "0", "1", "1", {});
  CHECK(std::move(canvas).take() ==
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"100\" height=\"50\" viewBox=\"0 0 100 50\" "
        "font-family=\"sans-serif\" font-size=\"12\">\n"
        "<title>a &lt; b</title>\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        "<rect x=\"1.00\" y=\"2.5\" width=\"30\" height=\"4.0\" fill=\"#fff\"><title>&quot;tip&quot;</title></rect>"
        "<text x=\"1\" y=\"2.0\" class=\"r\">&lt;/text&gt;&amp;</text>\n"
        "<line x1=\"0\" y1=\"0\" x2=\"1\" y2=\"1\"/>\n"
        "</svg>\n");
}
