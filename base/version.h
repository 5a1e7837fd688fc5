#pragma once

#include <string>

// Of the build, asked in one small file: it is compiled anew after every commit.
namespace hourglass::base {

std::string version();
std::string git_commit();
bool git_dirty();  // tracked files were changed since

}  // namespace hourglass::base
