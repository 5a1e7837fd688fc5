#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

// Strict JSON: what nlohmann/json accepts silently (duplicate keys, unknown keys, overflow to infinity, deep nesting)
// is an error here that names file, JSON path and what to do.
namespace hourglass::base {

// Keys keep their order, so that what we write reads as it was composed.
using Json = nlohmann::ordered_json;

// A parsed file: `text_hash` is the 64-bit FNV-1a of its bytes, for provenance.
struct JsonFile {
  std::string path;
  std::uint64_t text_hash = 0;
  Json value;
};

inline constexpr std::size_t largest_json_bytes = 4u << 20;
inline constexpr int deepest_json = 64;

// Parses text; `file` is only named in errors. Throws Error on syntax, duplicate keys, more than `deepest_json` levels,
// more than `largest` bytes, or a number outside double's range. // comments are allowed.
Json parse_json(std::string_view text, const std::string& file, std::size_t largest = largest_json_bytes);

// Reads and parses a file. Throws Error if it is absent, a folder, or as parse_json does.
JsonFile load_json(const std::string& path, std::size_t largest = largest_json_bytes);

std::uint64_t fnv1a(std::string_view bytes);

// Applies --set overrides "key.sub=value" to a document; value is JSON if it parses as such, else a string.
// List items are named by index ("stages.0.tokens"). The parent must exist; an unknown last key is left for the strict
// reader to refuse. Throws UsageError on malformed text.
void apply_override(Json& document, std::string_view assignment);

// Reads one JSON object field by field. Every key must be asked for: `finish` refuses the rest, with a suggestion.
// Missing keys, wrong types, NaN, infinities and values outside [low, high] are Errors with file and path.
class Fields {
 public:
  Fields(const Json& value, std::string file, std::string path = "");

  bool has(const std::string& key);  // a key whose value is null counts as absent
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
