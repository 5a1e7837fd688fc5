#pragma once

// The keys of an input file, each described once; reading, writing, schema and reference derive from it.
//
// A struct that a file fills has one function in its own namespace (not an unnamed one), found by its argument:
//
//     template <class V>
//     void describe(V& v, Reliability& r) {
//       v.optional("detection_min", r.detection_s, range(0, 1e6, unit::min).from("MegaScale, arXiv 2402.15627"),
//                  "minutes until a failure is noticed");
//       v.optional("spare_nodes", r.spare_nodes, range(0, 100000).otherwise("what costs least"), "nodes that wait");
//     }
//
// Each line is: key, member, what its value may be, what it means in one line without a full stop.
//   required, optional   of an optional key the default is what the member holds before it is read: the initial value
//                        in the struct, or what the reader put there; .otherwise("...") says it in words
//   range(low, high, unit)   a number or whole number; the limits hold for the figure in the file, the member is SI
//   choice({...})        a text, or an enumeration by the names of its enumerators, in their order
//   .from("...")         the source of the default
//   .cited()             v.sources(map) at the end demands an entry under "sources" for each such key that is given
//   .when(condition)     an optional key is written if this holds (unset: if it differs from its default)
//   block()              a nested struct that is described itself; may be left out, as for bool and std::string
//   fallback(x, "x")     an optional nested struct that is equal to x where it is absent
//   items(prototype)     a list of structs whose defaults are the prototype's (for instance the plan's)
//   special<T>(...)      a key of several types; says itself how it is read and written
// Members: double, integers, bool, std::string, enumerations, a described struct, std::optional of these, std::vector
// of numbers, texts, enumerators or structs, std::map<std::string, double>. v.ignored("notes", "...") reads a text and drops it.
// What several keys must fulfil together goes into `void check(const T&, const Fields&)` beside the struct: it is called
// when its keys are read, before unknown keys are refused.
//
// Then:
//   read_described(fields, value, &given)  reads value out of a Fields, `given` collects "reliability.detection_min"
//   json_of(value)                         the document that would be read as value
//   keys_of<T>()                           the tree of keys: schema_json, reference_rows, reference_markdown
// A room may describe more than this: its keys derive from KeyWords<Self>, and its own visitor derives from
// Visitor<Self> and has `template <class K, class T> void see(const K&, T&)` (hardware/profile_keys.h does so).
#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/reference.h"

namespace hourglass::base {

// ---- The words of a description.

template <class Self>
struct KeyWords : Key {
  Self otherwise(std::string words) const { return with(&Key::default_words, std::move(words)); }
  Self from(std::string words) const { return with(&Key::source, std::move(words)); }
  Self cited() const { return with(&Key::needs_source, true); }
  Self when(bool condition) const { return with(&Key::present, condition); }

 protected:
  template <class Owner, class Fact>
  Self with(Fact Owner::*fact, std::type_identity_t<Fact> value) const {
    Self changed = static_cast<const Self&>(*this);
    changed.*fact = std::move(value);
    return changed;
  }
};

struct Plain : KeyWords<Plain> {};

inline Plain range(double low, double high, Unit unit = {}) {
  Plain key;
  key.low = low;
  key.high = high;
  key.unit = unit;
  return key;
}

inline Plain block() { return {}; }

inline Plain choice(std::vector<std::string> names) {
  Plain key;
  key.choices = std::move(names);
  return key;
}

template <class T>
struct Fallback : KeyWords<Fallback<T>> {
  const T* fallback_value = nullptr;
};
template <class T>
Fallback<T> fallback(const T& value, const std::string& name) {
  Fallback<T> key;
  key.default_words = "as " + name;
  key.fallback_value = &value;
  return key;
}

template <class T>
struct Items : KeyWords<Items<T>> {
  T prototype;
};
template <class T>
Items<T> items(T prototype) {
  return {{}, std::move(prototype)};
}

template <class T>
struct Special : KeyWords<Special<T>> {
  std::string type_words;  // "a list of whole numbers or \"balanced\""
  Json type_schema;
  std::function<T(Fields&, const std::string& name)> read_special;
  std::function<Json(const T&)> write_special;
};
template <class T, class Read, class Write>
Special<T> special(std::string type_words, Json type_schema, Read read, Write write) {
  return {{}, std::move(type_words), std::move(type_schema), std::move(read), std::move(write)};
}

// required() and optional() for every visitor; each ends in Self::see(key, member).
template <class Self>
class Visitor {
 public:
  template <class T, std::derived_from<Key> K>
  void required(const std::string& name, T& member, K key, const std::string& meaning) {
    name_and_see(name, true, member, std::move(key), meaning);
  }
  template <class T, std::derived_from<Key> K>
  void optional(const std::string& name, T& member, K key, const std::string& meaning) {
    name_and_see(name, false, member, std::move(key), meaning);
  }
  template <class T>
  void required(const std::string& name, T& member, const std::string& meaning) {
    name_and_see(name, true, member, Plain{}, meaning);
  }
  template <class T>
  void optional(const std::string& name, T& member, const std::string& meaning) {
    name_and_see(name, false, member, Plain{}, meaning);
  }
  void ignored(const std::string& name, const std::string& meaning) {
    std::string dropped;
    optional(name, dropped, meaning);
  }

 private:
  template <class T, class K>
  void name_and_see(const std::string& name, bool required, T& member, K key, const std::string& meaning) {
    key.name = name;
    key.required = required;
    key.meaning = meaning;
    static_cast<Self&>(*this).see(static_cast<const K&>(key), member);
  }
};

// ---- What a member is.

class Lister;
template <class T>
concept Described = requires(Lister& visitor, T& value) {
  describe(visitor, value);
};

template <class T>
struct ItemOf {
  using Type = void;
};
template <class T>
struct ItemOf<std::vector<T>> {
  using Type = T;
};
template <class T>
concept DescribedList = Described<typename ItemOf<T>::Type>;
template <class T>
concept EnumerationList = std::is_enum_v<typename ItemOf<T>::Type>;

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

template <class T>
concept Whole = std::integral<T> && !std::same_as<T, bool>;

// ---- Reading.

std::int64_t read_whole(Fields& fields, const Key& key);
std::size_t read_choice(Fields& fields, const Key& key);
std::vector<std::size_t> read_choices(Fields& fields, const Key& key);
void read_value(Fields& fields, const Key& key, double& value);
void read_value(Fields& fields, const Key& key, bool& value);
void read_value(Fields& fields, const Key& key, std::string& value);
void read_value(Fields& fields, const Key& key, std::vector<std::int64_t>& value);
void read_value(Fields& fields, const Key& key, std::vector<double>& value);
void read_value(Fields& fields, const Key& key, std::vector<std::string>& value);
void read_value(Fields& fields, const Key& key, std::map<std::string, double>& value);

class Reader : public Visitor<Reader> {
 public:
  // `given`, if any, collects the names of the keys that the file states, behind `prefix`.
  explicit Reader(Fields& fields, std::vector<std::string>* given = nullptr, std::string prefix = "")
      : fields_(fields), given_(given), prefix_(std::move(prefix)) {}

  template <class K, class T>
  void see(const K& key, T& member);
  // A constant nobody can check is worth nothing: each cited key that is given needs an entry under "sources".
  void sources(std::map<std::string, std::string>& found);

 private:
  template <class K, class T>
  void read(const K& key, T& member);

  Fields& fields_;
  std::vector<std::string>* given_;
  std::string prefix_;
  std::vector<std::string> cited_;
};

// The names of the required keys, so that one error names all that are missing.
class Required : public Visitor<Required> {
 public:
  template <class K, class T>
  void see(const K& key, T&) {
    if (key.required) names.push_back(key.name);
  }
  void sources(const std::map<std::string, std::string>&) { names.emplace_back("sources"); }

  std::vector<std::string> names;
};

template <Described T>
void read_described(Fields& fields, T& value, std::vector<std::string>* given = nullptr,
                    const std::string& prefix = "") {
  Required required;
  describe(required, value);
  fields.require(required.names);
  Reader reader(fields, given, prefix);
  describe(reader, value);
  if constexpr (requires { check(std::as_const(value), std::as_const(fields)); })
    check(std::as_const(value), std::as_const(fields));
  fields.finish();
}

template <class K, class T>
void Reader::see(const K& key, T& member) {
  if (!key.required && !fields_.has(key.name)) {
    if constexpr (std::same_as<K, Fallback<T>>) member = *key.fallback_value;
    return;
  }
  if (given_ != nullptr) given_->push_back(prefix_ + key.name);
  if (key.needs_source) cited_.push_back(key.name);
  read(key, member);
}

template <class K, class T>
void Reader::read(const K& key, T& member) {
  if constexpr (requires { key.read_special; }) {
    member = key.read_special(fields_, key.name);
  } else if constexpr (is_optional<T>) {
    read(key, member.emplace());
  } else if constexpr (Described<T>) {
    Fields inside = fields_.object(key.name);
    read_described(inside, member, given_, prefix_ + key.name + ".");
  } else if constexpr (DescribedList<T>) {
    member.clear();
    for (Fields& inside : fields_.objects(key.name)) {
      if constexpr (requires { key.prototype; })
        member.push_back(key.prototype);
      else
        member.emplace_back();
      read_described(inside, member.back());
    }
  } else if constexpr (std::is_enum_v<T>) {
    member = static_cast<T>(read_choice(fields_, key));
  } else if constexpr (EnumerationList<T>) {
    member.clear();
    for (const std::size_t each : read_choices(fields_, key))
      member.push_back(static_cast<typename T::value_type>(each));
  } else if constexpr (Whole<T>) {
    member = static_cast<T>(read_whole(fields_, key));
  } else {
    read_value(fields_, key, member);
  }
}

// ---- Writing.

Json written_value(const Key& key, double value);
Json written_value(const Key& key, bool value);
Json written_value(const Key& key, const std::string& value);
Json written_value(const Key& key, const std::vector<std::int64_t>& value);
Json written_value(const Key& key, const std::vector<double>& value);
Json written_value(const Key& key, const std::vector<std::string>& value);
Json written_value(const Key& key, const std::map<std::string, double>& value);
Json written_value(const Key& key, const std::map<std::string, std::string>& value);

template <Described T>
Json json_of(const T& value);

template <class K, class T>
Json written(const K& key, const T& member) {
  if constexpr (requires { key.write_special; }) {
    return key.write_special(member);
  } else if constexpr (is_optional<T>) {
    return member ? written(key, *member) : Json();
  } else if constexpr (Described<T>) {
    return json_of(member);
  } else if constexpr (DescribedList<T>) {
    Json list = Json::array();
    for (const auto& item : member) list.push_back(json_of(item));
    return list;
  } else if constexpr (std::is_enum_v<T>) {
    return key.choices.at(static_cast<std::size_t>(member));
  } else if constexpr (EnumerationList<T>) {
    Json list = Json::array();
    for (const auto item : member) list.push_back(written(key, item));
    return list;
  } else if constexpr (Whole<T>) {
    return Json(static_cast<std::int64_t>(member));
  } else {
    return written_value(key, member);
  }
}

class Writer : public Visitor<Writer> {
 public:
  template <class K, class T>
  void see(const K& key, T& member) {
    values_.push_back({key.name, written(key, member), key.required, key.present});
  }
  void sources(const std::map<std::string, std::string>& found) {
    Key key;
    key.name = "sources";
    values_.push_back({key.name, written_value(key, found), true, true});
  }
  // Without the optional keys that hold what the defaults hold.
  Json without(const Writer& defaults) const;

 private:
  struct Value {
    std::string name;
    Json value;
    bool required;
    std::optional<bool> present;
  };
  std::vector<Value> values_;
};

template <Described T>
Json json_of(const T& value) {
  T copy = value, plain{};
  Writer writer, defaults;
  describe(writer, copy);
  describe(defaults, plain);
  return writer.without(defaults);
}

// ---- The tree of keys.

template <Described T>
std::vector<DescribedKey> keys_of(T value = {});

class Lister : public Visitor<Lister> {
 public:
  template <class K, class T>
  void see(const K& key, T& member) {
    DescribedKey described;
    described.key = key;
    describe_type(key, member, described);
    if (!key.required) described.otherwise = written(key, member);
    keys.push_back(std::move(described));
  }
  void sources(const std::map<std::string, std::string>&);

  std::vector<DescribedKey> keys;

 private:
  template <class K, class T>
  void describe_type(const K& key, const T& member, DescribedKey& out) {
    if constexpr (requires { key.type_words; }) {
      out.type = KeyType::special;
      out.type_words = key.type_words;
      out.type_schema = key.type_schema;
    } else if constexpr (is_optional<T>) {
      describe_type(key, member.value_or(typename T::value_type{}), out);
    } else if constexpr (Described<T>) {
      out.type = KeyType::object;
      out.inside = keys_of(member);
    } else if constexpr (DescribedList<T>) {
      out.type = KeyType::object;
      out.list = true;
      if constexpr (requires { key.prototype; })
        out.inside = keys_of(key.prototype);
      else
        out.inside = keys_of(typename T::value_type{});
    } else if constexpr (!std::is_void_v<typename ItemOf<T>::Type>) {
      out.list = true;
      describe_type(key, typename T::value_type{}, out);
    } else if constexpr (std::is_enum_v<T> || std::same_as<T, std::string>) {
      out.type = KeyType::text;
    } else if constexpr (std::same_as<T, std::map<std::string, double>>) {
      out.type = KeyType::map;
    } else {
      out.type = std::same_as<T, bool> ? KeyType::flag : Whole<T> ? KeyType::integer : KeyType::number;
    }
  }
};

template <Described T>
std::vector<DescribedKey> keys_of(T value) {
  Lister lister;
  describe(lister, value);
  return std::move(lister.keys);
}

}  // namespace hourglass::base
