#pragma once

#include <string>
#include <string_view>

namespace hourglass::base {

// Text from outside made safe inside XML, SVG and HTML, as content or in a quoted attribute: & < > " as entities.
std::string escaped_markup(std::string_view text);

}  // namespace hourglass::base
