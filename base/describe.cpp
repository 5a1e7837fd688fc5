#include "base/describe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace hourglass::base {

namespace {

double high_number(const Key& key) { return std::isinf(key.high) ? 1e30 : key.high; }

std::int64_t low_whole(const Key& key) { return static_cast<std::int64_t>(key.low); }
std::int64_t high_whole(const Key& key) {
  return key.high >= static_cast<double>(Fields::largest_integer) ? Fields::largest_integer
                                                                  : static_cast<std::int64_t>(key.high);
}

// Item i of a list, among the choices.
std::size_t place_of(Fields& fields, const Key& key, const std::string& word, std::size_t i) {
  const auto found = std::find(key.choices.begin(), key.choices.end(), word);
  if (found == key.choices.end()) {
    fields.fail(fmt::format("{}/{}", key.name, i), fmt::format("'{}' is not a choice", printable(word)),
                suggestion(word, key.choices));
  }
  return static_cast<std::size_t>(found - key.choices.begin());
}

}  // namespace

std::int64_t read_whole(Fields& fields, const Key& key) {
  return fields.integer(key.name, low_whole(key), high_whole(key));
}

std::size_t read_choice(Fields& fields, const Key& key) {
  const std::string word = fields.choice(key.name, key.choices);
  return static_cast<std::size_t>(std::find(key.choices.begin(), key.choices.end(), word) - key.choices.begin());
}

std::vector<std::size_t> read_choices(Fields& fields, const Key& key) {
  const std::vector<std::string> words = fields.texts(key.name);
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < words.size(); ++i) places.push_back(place_of(fields, key, words[i], i));
  return places;
}

void read_value(Fields& fields, const Key& key, double& value) {
  value = fields.number(key.name, key.low, high_number(key)) * key.unit.scale;
}

void read_value(Fields& fields, const Key& key, bool& value) { value = fields.flag(key.name); }

void read_value(Fields& fields, const Key& key, std::string& value) {
  value = key.choices.empty() ? fields.text(key.name) : fields.choice(key.name, key.choices);
}

void read_value(Fields& fields, const Key& key, std::vector<std::int64_t>& value) {
  value = fields.integers(key.name, low_whole(key), high_whole(key));
}

void read_value(Fields& fields, const Key& key, std::vector<double>& value) {
  value = fields.numbers(key.name, key.low, high_number(key));
  for (double& each : value) each *= key.unit.scale;
}

void read_value(Fields& fields, const Key& key, std::vector<std::string>& value) {
  value = fields.texts(key.name);
  for (std::size_t i = 0; i < value.size() && !key.choices.empty(); ++i) place_of(fields, key, value[i], i);
}

void read_value(Fields& fields, const Key& key, std::map<std::string, double>& value) {
  Fields inside = fields.object(key.name);
  value.clear();
  for (const std::string& name : inside.keys())
    value[name] = inside.number(name, key.low, high_number(key)) * key.unit.scale;
}

void Reader::sources(std::map<std::string, std::string>& found) {
  Fields sources = fields_.object("sources");
  sources.require(cited_);
  for (const std::string& key : cited_) {
    found[key] = sources.text(key);
    if (found[key].empty()) sources.fail(key, "the citation is empty", "say where the figure comes from");
  }
  sources.finish();
}

// The figure that is read as the value, if it or one of its neighbours is.
Json written_value(const Key& key, double value) {
  const double figure = value / key.unit.scale;
  if (key.unit.fineness > 0.0) return std::round(figure * key.unit.fineness) / key.unit.fineness;
  for (const double near : {figure, std::nextafter(figure, 0.0), std::nextafter(figure, 2.0 * figure)}) {
    if (near * key.unit.scale == value) return near;
  }
  return figure;
}

Json written_value(const Key&, bool value) { return value; }
Json written_value(const Key&, const std::string& value) { return value; }
Json written_value(const Key&, const std::vector<std::int64_t>& value) { return value; }
Json written_value(const Key&, const std::vector<std::string>& value) { return value; }

Json written_value(const Key& key, const std::vector<double>& value) {
  Json list = Json::array();
  for (const double each : value) list.push_back(written_value(key, each));
  return list;
}

Json written_value(const Key& key, const std::map<std::string, double>& value) {
  Json object = Json::object();
  for (const auto& [name, each] : value) object[name] = written_value(key, each);
  return object;
}

Json written_value(const Key&, const std::map<std::string, std::string>& value) {
  Json object = Json::object();
  for (const auto& [name, each] : value) object[name] = each;
  return object;
}

Json Writer::without(const Writer& defaults) const {
  Json out = Json::object();
  for (const Value& each : values_) {
    const auto same = std::find_if(defaults.values_.begin(), defaults.values_.end(),
                                   [&](const Value& other) { return other.name == each.name; });
    const bool differs = same == defaults.values_.end() || same->value != each.value;
    if (each.required || each.present.value_or(differs)) out[each.name] = each.value;
  }
  return out;
}

void Lister::sources(const std::map<std::string, std::string>&) {
  DescribedKey sources;
  sources.key.name = "sources";
  sources.key.meaning = "where each figure comes from";
  sources.type = KeyType::object;
  for (const DescribedKey& each : keys) {
    if (!each.key.needs_source) continue;
    DescribedKey citation;
    citation.key.name = each.key.name;
    citation.key.required = each.key.required;
    citation.key.meaning = "where " + each.key.name + " comes from";
    sources.inside.push_back(std::move(citation));
  }
  keys.push_back(std::move(sources));
}

}  // namespace hourglass::base
