#pragma once

#include <string>

#include "schedules/evaluate.h"

namespace hourglass::cli {

// A finite number of at least 0. Throws base::UsageError naming `where`.
double parse_number(const std::string& text, const std::string& where);
// More than 0.
double parse_positive(const std::string& text, const std::string& where);

// "F=1,B=1.3,W=0.7,FB=1.9,p2p=0.05": what is left out keeps its default (F = B = W = 1, FB = F + B + W, p2p = 0).
schedules::Costs parse_costs(const std::string& text);

}  // namespace hourglass::cli
