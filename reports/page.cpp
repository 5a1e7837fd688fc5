#include "reports/page.h"

#include "base/error.h"
#include "base/json.h"
#include "base/markup.h"
#include "reports/assets.h"

namespace hourglass::reports {

std::string_view asset(std::string_view name) {
  for (const base::EmbeddedFile& file : embedded_files()) {
    if (file.name == name) return file.text;
  }
  return {};
}

namespace {

// Inside JSON '<' stands only in strings, where \u003c means the same.
std::string script_json(const base::Json& data) {
  const std::string text = data.dump(-1, ' ', false, base::Json::error_handler_t::replace);
  std::string out;
  out.reserve(text.size() + text.size() / 64);
  for (const char c : text) {
    if (c == '<')
      out += "\\u003c";
    else
      out += c;
  }
  return out;
}

std::string element(const char* tag, const std::string& content) {
  return std::string("<") + tag + ">\n" + content + "\n</" + tag + ">\n";
}

// As text, which the page runs when it has time (page.js).
std::string library(const std::string& script, const std::string& licence) {
  return "<script type=\"text/plain\" class=\"library\">\n/*! " + std::string(asset(licence)) + "*/\n" +
         std::string(asset(script)) + "\n</script>\n";
}

}  // namespace

std::string html_page(const std::string& title, const base::Json& data) {
  // The template's marks are replaced from the front on, so that what is put in is never searched for marks.
  const std::pair<std::string_view, std::string> parts[] = {
      {"<!-- title -->", base::escaped_markup(title)},
      {"<!-- style -->", element("style", std::string(asset("html/page.css")))},
      {"<!-- data -->", "<script type=\"application/json\" id=\"data\">" + script_json(data) + "</script>\n"},
      // The Gantt chart needs no library; charts that do are drawn when the page already answers.
      {"<!-- scripts -->", library("vendor/d3.min.js", "vendor/d3.LICENSE") +
                               library("vendor/plot.umd.min.js", "vendor/plot.LICENSE") +
                               element("script", std::string(asset("html/page.js"))) +
                               element("script", std::string(asset("html/timeline.js"))) +
                               element("script", std::string(asset("html/gantt.js"))) +
                               element("script", std::string(asset("html/charts.js"))) +
                               element("script", std::string(asset("html/views.js")))},
  };
  std::string_view rest = asset("html/page.html");
  std::string out;
  for (const auto& [mark, content] : parts) {
    const std::size_t at = rest.find(mark);
    if (at == std::string_view::npos) throw base::Error("the page has no mark " + std::string(mark), "html/page.html");
    out.append(rest.substr(0, at)).append(content);
    rest.remove_prefix(at + mark.size());
  }
  return out.append(rest);
}

}  // namespace hourglass::reports
