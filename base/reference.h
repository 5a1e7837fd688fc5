#pragma once

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/units.h"

// What an input file may hold, as data: the tree of its keys. base/describe.h makes it out of descriptions; the JSON
// schemas, the reference pages and the help of single keys are made out of it.
namespace hourglass::base {

// What a figure is written in: the file's figure times `scale` is what the program holds (SI). A file is written with
// `fineness` steps a unit; 0: as the number comes.
struct Unit {
  const char* name = "";
  double scale = 1.0;
  double fineness = 0.0;
};

namespace unit {
inline constexpr Unit ps{"ps", pico}, us{"us", micro, 1e6}, s{"s"}, min{"min", 60.0}, h{"h", seconds_per_hour};
inline constexpr Unit GiB{"GiB", gibi}, GBps{"GB/s", giga}, TFLOPS{"TFLOPS", tera}, W{"W"}, USD{"USD"};
}  // namespace unit

// One key, without the member that it fills.
struct Key {
  std::string name;
  std::string meaning;  // one line, without the full stop
  bool required = true;
  Unit unit = {};
  double low = 0.0, high = std::numeric_limits<double>::infinity();  // of the figure in the file, both allowed
  std::vector<std::string> choices;                                  // of an enumeration: in its order
  std::string default_words;                                         // the default, where its value says less
  std::string source;                                                // of the default
  bool needs_source = false;                                         // where it is given, "sources" says where from
  std::optional<bool> present;  // whether an optional key is written; unset: where it differs from its default
};

enum class KeyType : std::uint8_t { number, integer, flag, text, object, map, special };

struct DescribedKey {
  Key key;
  KeyType type = KeyType::text;
  bool list = false;
  Json otherwise;                    // the default as the file would state it; null: none
  std::vector<DescribedKey> inside;  // the keys of an object
  std::string type_words;            // of a special type, and its schema
  Json type_schema;
};

// A JSON schema (draft 07) of a file with these keys; "$schema" is allowed besides.
Json schema_json(const std::vector<DescribedKey>& keys, const std::string& title, const std::string& description);

// What a reader sees of a key; nested keys are joined by dots, "[]" marks the items of a list.
struct ReferenceRow {
  std::string key, type, unit, range, otherwise, meaning, source;
};
std::vector<ReferenceRow> reference_rows(const std::vector<DescribedKey>& keys, const std::string& prefix = "");

// A Markdown table of them.
std::string reference_markdown(const std::vector<ReferenceRow>& rows);

}  // namespace hourglass::base
