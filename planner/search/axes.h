#pragma once

#include <string>
#include <vector>

#include "planner/search/space.h"

// The axes of a space by name: what a user asks about, and what two choices differ in.
namespace hourglass::planner {

const std::vector<std::string>& axis_names();  // "tp", "pp", ...
std::string axis_value(const Space& space, const SearchChoice& choice, const std::string& axis);
std::vector<std::string> axis_values(const Space& space, const std::string& axis);

// All choices that differ from one in a single axis.
struct Neighbour {
  SearchChoice choice;
  std::string differs;  // "pp=8"
};
std::vector<Neighbour> neighbours_of(const Space& space, const SearchChoice& choice);

// The space with one axis held at a value, "pp=8"; a number that the axis lacks is taken all the same.
// Throws base::UsageError for an unknown axis or a value that cannot be.
Space restricted(const Space& space, const std::string& question);

}  // namespace hourglass::planner
