#pragma once

#include <string>

#include "base/fields.h"

namespace hourglass::reports {

// One self-contained HTML file: the page of reports/html, the libraries that draw it with their licences, and `data`.
// It needs no network; data.kind says which views it shows (html/views.js). Text of `data` is inert: it is escaped here
// so that no name can end the script element, and the page never turns text into markup.
std::string html_page(const std::string& title, const base::Json& data);

}  // namespace hourglass::reports
