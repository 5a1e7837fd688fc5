#include "reports/reference.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "base/configs.h"
#include "base/error.h"
#include "hardware/cluster.h"
#include "hardware/profile.h"
#include "reports/table.h"
#include "sim/training/plan.h"

namespace hourglass::reports {

namespace {

using base::Json;
using base::ReferenceRow;

// ---- Rows out of a JSON schema: types and ranges as it has them, the meaning and "[unit]" from its descriptions.

const Json& schema_file(const std::string& name) {
  static std::map<std::string, Json> read;
  const auto known = read.find(name);
  if (known != read.end()) return known->second;
  return read[name] = Json::parse(base::built_in("built-in:/schema/" + name).value_or("{}"));
}

bool file_is_input(const std::string& file) { return file.starts_with("input-"); }

// A schema and the file that its references are relative to.
struct Place {
  const Json* schema;
  std::string file;

  // Where "$ref" points, if there is one: "file", "file#/a/b" or "#/a/b".
  Place followed() const {
    const auto found = schema->find("$ref");
    if (found == schema->end()) return *this;
    const std::string text = found->get<std::string>();
    const std::size_t hash = std::min(text.find('#'), text.size());
    const std::string target = hash == 0 ? file : text.substr(0, hash);
    const Json& whole = schema_file(target);
    const std::string pointer = hash < text.size() ? text.substr(hash + 1) : "";
    return Place{&whole.at(Json::json_pointer(pointer)), target}.followed();
  }
};

// A schema and those that it adds to: properties may come from each.
std::vector<Place> parts_of(const Place& place) {
  const Place here = place.followed();
  std::vector<Place> parts = {here};
  const auto all = here.schema->find("allOf");
  if (all == here.schema->end()) return parts;
  for (const Json& each : *all) {
    for (Place& part : parts_of({&each, here.file})) parts.push_back(std::move(part));
  }
  return parts;
}

const Json* fact(const std::vector<Place>& parts, const char* name) {
  for (const Place& part : parts) {
    const auto found = part.schema->find(name);
    if (found != part.schema->end()) return &*found;
  }
  return nullptr;
}

std::string type_word(const std::string& type) {
  if (type == "boolean") return "true or false";
  if (type == "integer") return "whole number";
  if (type == "string") return "text";
  if (type == "array") return "list";
  return type;
}

std::string type_of(const std::vector<Place>& parts) {
  if (fact(parts, "enum") != nullptr) return "text";
  const Json* type = fact(parts, "type");
  if (type == nullptr) return "";
  if (type->is_string()) return type_word(type->get<std::string>());
  std::vector<std::string> words;
  for (const Json& each : *type) words.push_back(type_word(each.get<std::string>()));
  return fmt::format("{}", fmt::join(words, " or "));
}

std::string range_of(const std::vector<Place>& parts) {
  if (const Json* choices = fact(parts, "enum")) {
    std::vector<std::string> words;
    for (const Json& each : *choices) {
      if (!each.is_null()) words.push_back(each.is_string() ? each.get<std::string>() : each.dump());
    }
    return fmt::format("{}", fmt::join(words, ", "));
  }
  const Json *low = fact(parts, "minimum"), *high = fact(parts, "maximum");
  if (low != nullptr && high != nullptr) return fmt::format("{} to {}", low->dump(), high->dump());
  return low != nullptr ? "from " + low->dump() : high != nullptr ? "to " + high->dump() : "";
}

void add_rows(const Place& place, const std::string& prefix, std::vector<ReferenceRow>& rows);

void add_row(const Place& value, const std::string& name, bool always, std::vector<ReferenceRow>& rows) {
  const std::vector<Place> parts = parts_of(value);
  ReferenceRow row;
  row.key = name;
  row.type = type_of(parts);
  row.range = range_of(parts);
  row.otherwise = file_is_input(value.file) ? (always ? "required" : "none") : always ? "always" : "where it applies";
  if (const Json* description = fact(parts, "description")) row.meaning = description->get<std::string>();
  if (const auto outer = value.schema->find("description"); outer != value.schema->end()) row.meaning = *outer;
  const std::size_t bracket = row.meaning.rfind(" [");
  if (bracket != std::string::npos && row.meaning.back() == ']') {
    row.unit = row.meaning.substr(bracket + 2, row.meaning.size() - bracket - 3);
    row.meaning.resize(bracket);
  }
  const Json* items = fact(parts, "items");
  if (row.type == "list" && items != nullptr) {
    const std::string of = type_of(parts_of({items, parts.front().file}));
    if (!of.empty()) row.type = fmt::format("list of {}s", of == "true or false" ? "truth value" : of);
  }
  rows.push_back(row);
  add_rows(value, name + ".", rows);
  for (const Place& part : parts) {
    const auto inside = part.schema->find("items");
    if (inside != part.schema->end() && inside->is_object()) add_rows({&*inside, part.file}, name + "[].", rows);
  }
}

void add_rows(const Place& place, const std::string& prefix, std::vector<ReferenceRow>& rows) {
  for (const Place& part : parts_of(place)) {
    const auto properties = part.schema->find("properties");
    if (properties == part.schema->end()) continue;
    const Json required = part.schema->value("required", Json::array());
    for (const auto& [key, value] : properties->items()) {
      if (key == "$schema") continue;
      const bool always = std::find(required.begin(), required.end(), key) != required.end();
      add_row({&value, part.file}, prefix + key, always, rows);
    }
  }
}

KeyTable table_of_schema(const std::string& name, const std::string& file, bool input) {
  const Json& schema = schema_file(file);
  KeyTable table{name, "hourglass " + name, schema["description"], input, {}};
  add_rows({&schema, file}, "", table.rows);
  return table;
}

std::string schema_name(const std::string& name) { return name + ".schema.json"; }

// ---- All of them.

constexpr const char* plan_words =
    "A plan: model, cluster, parallel layout, schedule, batch and the stages of the "
    "training run.";
constexpr const char* cluster_words = "A cluster: GPU, host and network figures, each with its source.";
constexpr const char* profile_words =
    "A profile: what real kernels reach of the data sheet, by class, with its source.";

std::vector<KeyTable> make_tables() {
  std::vector<KeyTable> all;
  all.push_back({"plan", "Plans", plan_words, true, base::reference_rows(sim::plan_keys())});
  all.push_back({"cluster", "Clusters", cluster_words, true, base::reference_rows(hardware::cluster_keys())});
  all.push_back({"profile", "Profiles", profile_words, true, base::reference_rows(hardware::profile_keys())});
  const auto input = [&](const std::string& name, const std::string& title) {
    all.push_back(table_of_schema(name, schema_name("input-" + name), true));
    all.back().title = title;
  };
  input("samples", "Samples");
  input("schedule", "Schedules");
  const std::pair<const char*, const char*> results[] = {{"simulate", "simulate"},
                                                         {"plan", "plan"},
                                                         {"solve", "plan --solve"},
                                                         {"compare", "compare"},
                                                         {"sweep", "compare --sweep"},
                                                         {"clusters", "compare --clusters"},
                                                         {"search", "search"},
                                                         {"sensitivity", "sensitivity"},
                                                         {"validate", "validate"},
                                                         {"layouts", "validate --layouts"},
                                                         {"model", "model"},
                                                         {"collective", "collective"},
                                                         {"topology", "topology"},
                                                         {"fabrics", "topology --table"},
                                                         {"catalogue", "schedule --list"},
                                                         {"run", "run"},
                                                         {"bench", "bench"},
                                                         {"calibrate", "calibrate"},
                                                         {"trace", "import kineto"},
                                                         {"diff", "diff"},
                                                         {"numerics", "numerics"}};
  for (const auto& [name, command] : results) {
    all.push_back(table_of_schema(name, schema_name(name), false));
    all.back().title = fmt::format("hourglass {} --format json", command);
  }
  return all;
}

// ---- Help of one key.

// "plan.stages[].tokens" and "plan.stages.0.tokens" as "plan.stages.tokens".
std::string plain(const std::string& key) {
  std::string out, part;
  const auto flush = [&] {
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
    if (!part.empty() && !number) out += (out.empty() ? "" : ".") + part;
    part.clear();
  };
  for (const char c : key) {
    if (c == '.')
      flush();
    else if (c != '[' && c != ']')
      part += c;
  }
  flush();
  return out;
}

bool directly_inside(const std::string& key, const std::string& parent) {
  return key.size() > parent.size() && key.starts_with(parent + ".") &&
         key.find('.', parent.size() + 1) == std::string::npos;
}

void add_line(std::string& out, const char* label, const std::string& text) {
  if (!text.empty()) out += fmt::format("  {:<8} {}\n", label, text);
}

std::string key_text(const KeyTable& table, const ReferenceRow& row) {
  std::string out = fmt::format("{}.{} ({})\n  {}\n", table.name, row.key, table.title, row.meaning);
  add_line(out, "type", row.type);
  add_line(out, "unit", row.unit);
  add_line(out, row.type.find("text") == 0 || row.type.find("texts") != std::string::npos ? "choices" : "range",
           row.range);
  add_line(out, table.input ? "default" : "there", row.otherwise);
  add_line(out, "source", row.source);
  return out;
}

std::string children_text(const KeyTable& table, const std::string& parent) {
  Table children({"key", "unit", "meaning"});
  bool any = false;
  for (const ReferenceRow& row : table.rows) {
    if (!directly_inside(plain(table.name + "." + row.key), parent)) continue;
    children.add({table.name + "." + row.key, row.unit, row.meaning});
    any = true;
  }
  return any ? children.text("  ", true) : "";
}

}  // namespace

const std::vector<KeyTable>& key_tables() {
  static const std::vector<KeyTable> tables = make_tables();
  return tables;
}

std::string help_text(const std::string& key) {
  const std::string wanted = plain(key);
  std::string out;
  std::vector<std::string> known;
  for (const KeyTable& table : key_tables()) {
    known.push_back(table.name);
    std::string found;
    if (table.name == wanted) found = fmt::format("{} ({})\n  {}\n", table.name, table.title, table.what);
    for (const ReferenceRow& row : table.rows) {
      known.push_back(plain(table.name + "." + row.key));
      if (known.back() == wanted) found += key_text(table, row);
    }
    if (found.empty()) continue;
    const std::string children = children_text(table, wanted);
    out += (out.empty() ? "" : "\n") + found + (children.empty() ? "" : "\n" + children);
  }
  if (!out.empty()) return out;
  const std::string near = base::nearest(wanted, known);
  throw base::UsageError(fmt::format("there is no key '{}'", base::printable(key)), "hourglass help",
                         near.empty() ? "see hourglass help plan, cluster, profile or a command's name"
                                      : fmt::format("did you mean '{}'?", near));
}

namespace {

// Rows of a page: where several objects of a file have the same keys, those of the first; and no citation key by key.
std::vector<ReferenceRow> without_repeats(const std::vector<ReferenceRow>& all) {
  std::vector<ReferenceRow> out;
  std::map<std::string, std::string> known;  // the keys inside, as text -> the object that has them first
  for (std::size_t i = 0, end = 0; i < all.size(); i = end) {
    const std::string prefix = all[i].key + ".";
    std::vector<ReferenceRow> inside;
    for (end = i + 1; end < all.size() && all[end].key.starts_with(prefix); ++end) {
      inside.push_back(all[end]);
      inside.back().key.erase(0, prefix.size());
    }
    out.push_back(all[i]);
    if (inside.empty() || all[i].key == "sources") continue;
    const auto [first, is_new] = known.try_emplace(base::reference_markdown(inside), all[i].key);
    if (is_new)
      out.insert(out.end(), all.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                 all.begin() + static_cast<std::ptrdiff_t>(end));
    else
      out.back().meaning += fmt::format("; its keys are those of {}", first->second);
  }
  return out;
}

}  // namespace

std::string reference_page() {
  std::string out =
      "# Reference of keys\n\n"
      "Every key of the files that Hourglass reads and of the JSON that it writes. `hourglass help --format markdown` "
      "makes this page (`scripts/docs` writes it);\n`hourglass help plan.recompute` prints one key. `$schema` may "
      "stand at the top of any file that is read. Keys of lists' items are written behind `[]`.\n\n";
  for (const bool input : {true, false}) {
    out += input ? "## Files that are read\n\n" : "## Results\n\n";
    for (const KeyTable& table : key_tables()) {
      if (table.input != input) continue;
      out += fmt::format("### {}\n\n{}\n\n", table.title, table.what);
      std::vector<ReferenceRow> rows = without_repeats(table.rows);
      for (ReferenceRow& row : rows) row.key = table.name + "." + row.key;
      out += base::reference_markdown(rows) + "\n";
    }
  }
  out.pop_back();
  return out;
}

std::vector<std::string> generated_schemas() { return {"input-plan", "input-cluster", "input-profile"}; }

base::Json generated_schema(const std::string& name) {
  if (name == "input-plan") return base::schema_json(sim::plan_keys(), name, plan_words);
  if (name == "input-cluster") return base::schema_json(hardware::cluster_keys(), name, cluster_words);
  if (name == "input-profile") return base::schema_json(hardware::profile_keys(), name, profile_words);
  throw base::UsageError(fmt::format("there is no generated schema '{}'", base::printable(name)), "--schema",
                         base::suggestion(name, generated_schemas()));
}

}  // namespace hourglass::reports
