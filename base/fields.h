#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <vector>

// Strict reading of JSON, for the headers: nlohmann's own takes a second to compile, so it is in json.h, for the files
// that look into a document or compose one.
namespace hourglass::base {

// Keys keep their order, so that what we write reads as it was composed.
using Json = nlohmann::ordered_json;

// Reads one JSON object field by field. Every key must be asked for: `finish` refuses the rest, with a suggestion; only
// "$schema" may stand at the top of any file.
// Missing keys, wrong types, NaN, infinities and values outside [low, high] are Errors with file and path.
class Fields {
 public:
  Fields(const Json& value, std::string file, std::string path = "");

  bool has(const std::string& key);           // a key whose value is null counts as absent
  bool states(const std::string& key) const;  // the same, without asking for it
  // Throws one Error that names all of these which are missing.
  void require(const std::vector<std::string>& keys) const;
  double number(const std::string& key, double low = 0.0, double high = 1e30);
  double number_or(const std::string& key, double fallback, double low = 0.0, double high = 1e30);
  std::int64_t integer(const std::string& key, std::int64_t low = 0, std::int64_t high = largest_integer);
  std::int64_t integer_or(const std::string& key, std::int64_t fallback, std::int64_t low = 0,
                          std::int64_t high = largest_integer);
  std::string text(const std::string& key);
  std::string text_or(const std::string& key, const std::string& fallback);
  // One of `choices`; the error suggests the nearest.
  std::string choice(const std::string& key, const std::vector<std::string>& choices);
  bool flag(const std::string& key);
  bool flag_or(const std::string& key, bool fallback);
  std::vector<std::int64_t> integers(const std::string& key, std::int64_t low = 0, std::int64_t high = largest_integer);
  std::vector<std::string> texts(const std::string& key);
  std::vector<double> numbers(const std::string& key, double low = 0.0, double high = 1e30);
  Fields object(const std::string& key);
  std::vector<Fields> objects(const std::string& key);
  std::vector<std::string> keys() const;  // all keys of the object, in file order
  // The raw value, for the few fields with more than one type.
  const Json& any(const std::string& key);

  void finish() const;  // throws on the first key never asked for
  [[noreturn]] void fail(const std::string& key, const std::string& what, const std::string& fix = "") const;
  const std::string& file() const { return file_; }

  static constexpr std::int64_t largest_integer = std::int64_t{1} << 53;

 private:
  const Json* value_;
  std::string file_;
  std::string path_;
  std::set<std::string> asked_;
};

}  // namespace hourglass::base
