#include "base/reference.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

namespace hourglass::base {

namespace {

const char* schema_type(KeyType type) {
  switch (type) {
    case KeyType::number:
      return "number";
    case KeyType::integer:
      return "integer";
    case KeyType::flag:
      return "boolean";
    case KeyType::text:
      return "string";
    case KeyType::object:
    case KeyType::map:
    case KeyType::special:
      return "object";
  }
  return "";
}

// Whole numbers are written as such: 1, not 1.0.
Json bound(double value) {
  return value == std::floor(value) && std::abs(value) < 1e15 ? Json(static_cast<std::int64_t>(value)) : Json(value);
}

void add_range(Json& out, const Key& key) {
  out["minimum"] = bound(key.low);
  if (!std::isinf(key.high)) out["maximum"] = bound(key.high);
}

Json object_schema(const std::vector<DescribedKey>& keys, bool top);

// One value of the key: an item, where the key is a list.
Json value_schema(const DescribedKey& each) {
  if (each.type == KeyType::special) return each.type_schema;
  if (each.type == KeyType::object) return object_schema(each.inside, false);
  Json out = {{"type", schema_type(each.type)}};
  if (each.type == KeyType::number || each.type == KeyType::integer) add_range(out, each.key);
  if (!each.key.choices.empty()) out["enum"] = each.key.choices;
  if (each.type == KeyType::map) {
    out["additionalProperties"] = {{"type", "number"}};
    add_range(out["additionalProperties"], each.key);
  }
  return out;
}

Json key_schema(const DescribedKey& each) {
  Json out = each.list ? Json{{"type", "array"}, {"items", value_schema(each)}} : value_schema(each);
  // A key whose value is null counts as absent.
  if (!each.key.required && out.contains("type")) out["type"] = {out["type"], "null"};
  if (!each.key.required && out.contains("enum")) out["enum"].push_back(nullptr);
  if (!each.otherwise.is_null() && each.type != KeyType::object && each.key.default_words.empty())
    out["default"] = each.otherwise;
  std::string description = each.key.meaning;
  if (*each.key.unit.name != 0) description += fmt::format(" [{}]", each.key.unit.name);
  if (!each.key.default_words.empty()) description += "; default: " + each.key.default_words;
  out["description"] = description;
  return out;
}

Json object_schema(const std::vector<DescribedKey>& keys, bool top) {
  Json properties = Json::object(), required = Json::array();
  if (top) properties["$schema"] = {{"type", "string"}};
  for (const DescribedKey& each : keys) {
    properties[each.key.name] = key_schema(each);
    if (each.key.required) required.push_back(each.key.name);
  }
  return {{"type", "object"},
          {"properties", std::move(properties)},
          {"required", std::move(required)},
          {"additionalProperties", false}};
}

std::string type_words(const DescribedKey& each) {
  const char* words = "";
  switch (each.type) {
    case KeyType::special:
      return each.type_words;
    case KeyType::number:
      words = each.list ? "numbers" : "number";
      break;
    case KeyType::integer:
      words = each.list ? "whole numbers" : "whole number";
      break;
    case KeyType::flag:
      words = "true or false";
      break;
    case KeyType::text:
      words = each.list ? "texts" : "text";
      break;
    case KeyType::object:
      words = each.list ? "objects" : "object";
      break;
    case KeyType::map:
      words = "a number for each name";
      break;
  }
  return each.list ? fmt::format("list of {}", words) : words;
}

std::string range_words(const DescribedKey& each) {
  if (!each.key.choices.empty()) return fmt::format("{}", fmt::join(each.key.choices, ", "));
  if (each.type != KeyType::number && each.type != KeyType::integer && each.type != KeyType::map) return "";
  if (std::isinf(each.key.high)) return fmt::format("from {}", bound(each.key.low).dump());
  return fmt::format("{} to {}", bound(each.key.low).dump(), bound(each.key.high).dump());
}

std::string words_of_default(const DescribedKey& each) {
  if (each.key.required) return "required";
  if (!each.key.default_words.empty()) return each.key.default_words;
  const bool nothing =
      each.otherwise.is_null() || each.type == KeyType::object || each.otherwise.empty() || each.otherwise == Json("");
  return nothing ? "none" : each.otherwise.is_string() ? each.otherwise.get<std::string>() : each.otherwise.dump();
}

std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

}  // namespace

Json schema_json(const std::vector<DescribedKey>& keys, const std::string& title, const std::string& description) {
  Json out = {{"$schema", "http://json-schema.org/draft-07/schema#"}, {"title", title}, {"description", description}};
  out.update(object_schema(keys, true));
  return out;
}

std::vector<ReferenceRow> reference_rows(const std::vector<DescribedKey>& keys, const std::string& prefix) {
  std::vector<ReferenceRow> rows;
  for (const DescribedKey& each : keys) {
    const std::string name = prefix + each.key.name;
    rows.push_back({name, type_words(each), each.key.unit.name, range_words(each), words_of_default(each),
                    each.key.meaning, each.key.source});
    const std::vector<ReferenceRow> inside = reference_rows(each.inside, name + (each.list ? "[]." : "."));
    rows.insert(rows.end(), inside.begin(), inside.end());
  }
  return rows;
}

std::string reference_markdown(const std::vector<ReferenceRow>& rows) {
  std::string out = "| key | type | unit | range | default | meaning |\n|---|---|---|---|---|---|\n";
  for (const ReferenceRow& row : rows) {
    const std::string meaning = row.source.empty() ? row.meaning : fmt::format("{} ({})", row.meaning, row.source);
    out += fmt::format("| `{}` | {} | {} | {} | {} | {} |\n", row.key, cell(row.type), row.unit, cell(row.range),
                       cell(row.otherwise), cell(meaning));
  }
  return out;
}

}  // namespace hourglass::base
