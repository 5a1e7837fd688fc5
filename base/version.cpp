#include "base/version.h"

#include "base/build_info.h"  // written by tools/build_info.cmake

namespace hourglass::base {

std::string version() { return build_version; }
std::string git_commit() { return build_git_commit; }
bool git_dirty() { return build_git_dirty; }

}  // namespace hourglass::base
