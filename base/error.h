#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace hourglass::base {

// Every failure a user can cause. Printed once, in cli/main.cpp, as one line: "where: what; fix".
//   what:  what is wrong, with the offending value
//   where: file and JSON path, or the option; may be empty
//   fix:   what to do about it; may be empty
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& what, const std::string& where = "", const std::string& fix = "");
};

// The command line itself is wrong (unknown command or option, missing argument): exit code 2 instead of 1.
class UsageError : public Error {
 public:
  using Error::Error;
};

// The candidate nearest to `word` in edit distance (at most a third of its length), or "" if none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

// "; did you mean 'x'?" for the nearest candidate, or "the choices are a, b, c" when none is near.
std::string suggestion(std::string_view word, const std::vector<std::string>& candidates);

// "a", "a and b", "a, b and c".
std::string listed(const std::vector<std::string>& words);

// Text from outside made safe for a JSON document: bytes that are not UTF-8 are escaped.
std::string utf8(std::string_view text);

// Text from outside made safe for one line of a terminal: control characters escaped too, at most 120 bytes.
std::string printable(std::string_view text);

}  // namespace hourglass::base
