#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

// The flags in a launch script.
namespace hourglass::planner {

class MegatronFlags {
 public:
  // Throws base::Error naming `where`.
  MegatronFlags(const std::string& text, std::string where);

  bool has(const std::string& name);
  std::string text(const std::string& name, const std::string& absent = "");
  // absent < 0: must be there
  std::int64_t count(const std::string& name, std::int64_t absent, std::int64_t most = 1'000'000'000'000);
  std::vector<std::string> texts(const std::string& name);
  std::vector<std::string> unread() const;  // flags nobody asked for
  [[noreturn]] void fail(const std::string& name, const std::string& what, const std::string& fix) const;

 private:
  std::string where_;
  std::map<std::string, std::vector<std::string>> flags_;
  std::set<std::string> asked_;
};

}  // namespace hourglass::planner
