#include "base/json.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "base/configs.h"
#include "base/error.h"

namespace hourglass::base {

namespace {

// Builds the document while it watches for what a DOM parser forgives. Depth is limited before the tree grows, so a
// hostile file of a million brackets costs nothing.
class StrictBuilder : public nlohmann::json_sax<Json> {
 public:
  StrictBuilder(const std::string& file, Json& root) : file_(file), root_(root) {}

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    if (!std::isfinite(value)) fail(fmt::format("the number {} is too large", printable(text)));
    return put(value);
  }
  bool string(string_t& value) override { return put(value); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (stack_.back()->size() >= most_json_keys) fail(fmt::format("an object of more than {} keys", most_json_keys));
    if (stack_.back()->contains(name)) {
      fail(fmt::format("the key '{}' appears twice", printable(name)), "keep one of them");
    }
    pending_key_ = name;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    // nlohmann's text ends in "... - reason"; its prefix repeats numbers that we print ourselves.
    const std::string text = e.what();
    const bool overflow = text.find("out_of_range") != std::string::npos;
    if (overflow) fail(fmt::format("a number is too large, at byte {}", position));
    const std::size_t reason = text.find(": ");
    fail("not valid JSON: " + printable(reason == std::string::npos ? text : text.substr(reason + 2)),
         fmt::format("check the file near byte {}", position));
  }

 private:
  [[noreturn]] void fail(const std::string& what, const std::string& fix = "") const { throw Error(what, file_, fix); }

  Json* place(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[pending_key_] = std::move(value));
  }
  bool put(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json container) {
    if (stack_.size() >= static_cast<std::size_t>(deepest_json)) {
      fail(fmt::format("nested deeper than {} levels", deepest_json), "flatten the file");
    }
    stack_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  const std::string& file_;
  Json& root_;
  std::vector<Json*> stack_;
  std::string pending_key_;
};

std::string type_of(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return "a boolean";
  if (value.is_number()) return "a number";
  if (value.is_string()) return "a string";
  return value.is_array() ? "a list" : "an object";
}

}  // namespace

std::uint64_t fnv1a(std::string_view bytes) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

Json parse_json(std::string_view text, const std::string& file, std::size_t largest) {
  if (text.size() > largest) {
    throw Error(fmt::format("{} bytes are more than the {} this kind of file may have", text.size(), largest), file,
                "check that it is the right file");
  }
  Json root;
  StrictBuilder builder(file, root);
  Json::sax_parse(text.begin(), text.end(), &builder, Json::input_format_t::json, true, true);
  return root;
}

JsonFile load_json(const std::string& path, std::size_t largest) {
  if (const auto text = built_in(path)) return {path, fnv1a(*text), parse_json(*text, path, largest)};
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) throw Error("no such file", path, "check the path");
  if (std::filesystem::is_directory(path, ignored)) throw Error("is a folder", path, "name a JSON file in it");
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Error("cannot be read", path, "check its permissions");
  // One piece more than allowed is enough to refuse it: a 10 GB file is never held in memory.
  std::string text;
  for (char piece[1 << 16]; text.size() <= largest && (in.read(piece, sizeof piece) || in.gcount() > 0);) {
    text.append(piece, static_cast<std::size_t>(in.gcount()));
  }
  if (text.size() > largest) {
    throw Error(fmt::format("larger than the {} MiB this kind of file may have", largest >> 20), path,
                "check that it is the right file");
  }
  return {path, fnv1a(text), parse_json(text, path, largest)};
}

void apply_override(Json& document, std::string_view assignment) {
  const std::size_t equals = assignment.find('=');
  const std::string where = fmt::format("--set {}", printable(assignment));
  if (equals == std::string_view::npos || equals == 0) {
    throw UsageError("is not of the form key.sub=value", where, "write for instance --set plan.schedule=1f1b");
  }
  const std::string value_text(assignment.substr(equals + 1));
  std::istringstream names{std::string(assignment.substr(0, equals))};
  Json* node = &document;
  std::string name;
  std::vector<std::string> path;
  while (std::getline(names, name, '.')) path.push_back(name);
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (node->is_array()) {
      const bool index =
          !path[i].empty() && path[i].size() < 8 && path[i].find_first_not_of("0123456789") == std::string::npos;
      if (!index || std::stoul(path[i]) >= node->size()) {
        throw UsageError(fmt::format("'{}' is not an index into a list of {}", path[i], node->size()), where);
      }
      node = &(*node)[std::stoul(path[i])];
    } else if (node->is_object()) {
      if (i + 1 < path.size() && !node->contains(path[i])) {
        std::vector<std::string> known;
        for (const auto& [key, unused] : node->items()) known.push_back(key);
        throw UsageError(fmt::format("there is no key '{}'", path[i]), where, suggestion(path[i], known));
      }
      node = &(*node)[path[i]];
    } else {
      throw UsageError(
          fmt::format("'{}' is not an object", fmt::join(path.begin(), path.begin() + static_cast<long>(i), ".")),
          where);
    }
  }
  *node = Json::accept(value_text) ? parse_json(value_text, where) : Json(utf8(value_text));
}

Fields::Fields(const Json& value, std::string file, std::string path)
    : value_(&value), file_(std::move(file)), path_(std::move(path)) {
  if (!value.is_object()) {
    throw Error(fmt::format("expected an object, found {}", type_of(value)),
                file_ + (path_.empty() ? "" : " " + path_));
  }
}

void Fields::fail(const std::string& key, const std::string& what, const std::string& fix) const {
  throw Error(what, fmt::format("{} {}/{}", file_, path_, printable(key)), fix);
}

bool Fields::has(const std::string& key) {
  asked_.insert(key);
  return states(key);
}

bool Fields::states(const std::string& key) const { return value_->contains(key) && !value_->at(key).is_null(); }

void Fields::require(const std::vector<std::string>& keys) const {
  std::vector<std::string> missing;
  for (const std::string& key : keys) {
    if (!value_->contains(key)) missing.push_back(key);
  }
  if (missing.size() == 1) fail(missing.front(), "is missing", "add it");
  if (!missing.empty())
    throw Error(listed(missing) + " are missing", file_ + (path_.empty() ? "" : " " + path_), "add them");
}

const Json& Fields::any(const std::string& key) {
  asked_.insert(key);
  const auto found = value_->find(key);
  if (found == value_->end()) fail(key, "is missing", "add it");
  return *found;
}

double Fields::number(const std::string& key, double low, double high) {
  const Json& value = any(key);
  if (!value.is_number()) fail(key, fmt::format("expected a number, found {}", type_of(value)));
  const double number = value.get<double>();
  if (!(number >= low && number <= high)) {
    fail(key, fmt::format("{} is out of range", number), fmt::format("give a number from {} to {}", low, high));
  }
  return number;
}

double Fields::number_or(const std::string& key, double fallback, double low, double high) {
  return has(key) ? number(key, low, high) : fallback;
}

namespace {

std::int64_t checked_integer(const Fields& fields, const std::string& key, const Json& value, std::int64_t low,
                             std::int64_t high) {
  const double number = value.is_number() ? value.get<double>() : std::nan("");
  if (!value.is_number() || number != std::floor(number)) {
    fields.fail(key,
                fmt::format("expected a whole number, found {}", value.is_number() ? value.dump() : type_of(value)));
  }
  if (number < static_cast<double>(low) || number > static_cast<double>(high)) {
    fields.fail(key, fmt::format("{} is out of range", value.dump()),
                fmt::format("give a whole number from {} to {}", low, high));
  }
  return value.is_number_integer() ? value.get<std::int64_t>() : static_cast<std::int64_t>(number);
}

}  // namespace

std::int64_t Fields::integer(const std::string& key, std::int64_t low, std::int64_t high) {
  return checked_integer(*this, key, any(key), low, high);
}

std::int64_t Fields::integer_or(const std::string& key, std::int64_t fallback, std::int64_t low, std::int64_t high) {
  return has(key) ? integer(key, low, high) : fallback;
}

std::string Fields::text(const std::string& key) {
  const Json& value = any(key);
  if (!value.is_string()) fail(key, fmt::format("expected a string, found {}", type_of(value)));
  return value.get<std::string>();
}

std::string Fields::text_or(const std::string& key, const std::string& fallback) {
  return has(key) ? text(key) : fallback;
}

std::string Fields::choice(const std::string& key, const std::vector<std::string>& choices) {
  const std::string word = text(key);
  for (const std::string& choice : choices) {
    if (word == choice) return word;
  }
  fail(key, fmt::format("'{}' is not a choice", printable(word)), suggestion(word, choices));
}

bool Fields::flag(const std::string& key) {
  const Json& value = any(key);
  if (!value.is_boolean()) fail(key, fmt::format("expected true or false, found {}", type_of(value)));
  return value.get<bool>();
}

bool Fields::flag_or(const std::string& key, bool fallback) { return has(key) ? flag(key) : fallback; }

std::vector<std::int64_t> Fields::integers(const std::string& key, std::int64_t low, std::int64_t high) {
  const Json& value = any(key);
  if (!value.is_array()) fail(key, fmt::format("expected a list, found {}", type_of(value)));
  std::vector<std::int64_t> out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    out.push_back(checked_integer(*this, fmt::format("{}/{}", key, i), value[i], low, high));
  }
  return out;
}

std::vector<std::string> Fields::texts(const std::string& key) {
  const Json& value = any(key);
  if (!value.is_array()) fail(key, fmt::format("expected a list of strings, found {}", type_of(value)));
  std::vector<std::string> out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (!value[i].is_string()) fail(fmt::format("{}/{}", key, i), "expected a string, found " + type_of(value[i]));
    out.push_back(value[i].get<std::string>());
  }
  return out;
}

std::vector<double> Fields::numbers(const std::string& key, double low, double high) {
  const Json& value = any(key);
  if (!value.is_array()) fail(key, fmt::format("expected a list of numbers, found {}", type_of(value)));
  std::vector<double> out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const double number = value[i].is_number() ? value[i].get<double>() : std::nan("");
    if (!(number >= low && number <= high)) {
      fail(fmt::format("{}/{}", key, i), fmt::format("expected a number from {} to {}", low, high));
    }
    out.push_back(number);
  }
  return out;
}

Fields Fields::object(const std::string& key) { return {any(key), file_, path_ + "/" + key}; }

std::vector<Fields> Fields::objects(const std::string& key) {
  const Json& value = any(key);
  if (!value.is_array()) fail(key, fmt::format("expected a list of objects, found {}", type_of(value)));
  std::vector<Fields> out;
  for (std::size_t i = 0; i < value.size(); ++i)
    out.emplace_back(value[i], file_, fmt::format("{}/{}/{}", path_, key, i));
  return out;
}

std::vector<std::string> Fields::keys() const {
  std::vector<std::string> out;
  for (const auto& [key, unused] : value_->items()) out.push_back(key);
  return out;
}

void Fields::finish() const {
  for (const auto& [key, unused] : value_->items()) {
    if (asked_.contains(key) || (path_.empty() && key == "$schema")) continue;
    fail(key, "unknown key", suggestion(key, {asked_.begin(), asked_.end()}));
  }
}

}  // namespace hourglass::base
