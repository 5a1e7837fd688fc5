#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

// What a command may be given on its command line: declared here, parsed in options.cpp, which alone knows
// Boost.Program_options.
namespace hourglass::cli {

// All that an option can hold. Numbers keep the width that the command asks for, so that too large a one is refused.
using OptionValue = std::variant<std::string, std::vector<std::string>, int, std::int64_t, std::uint64_t, double,
                                 std::vector<std::int64_t>>;

struct Option {
  std::string name;        // "output", without the dashes
  std::string letter;      // "o", or empty
  std::string value_name;  // "FILE" in the help; empty: a flag
  std::string help;
  OptionValue value;         // of the type that it takes, and what it is where it is not given if `has_default`
  bool has_default = false;  // shown in the help
  bool takes_all = false;    // every word that follows, not one
  std::string group;         // heading in the help
  std::function<void(const OptionValue&)> store;  // may be empty
};

class Options {
 public:
  // `name` may be "output,o": -o means the same.
  void flag(const std::string& name, const std::string& help);
  void text(const std::string& name, const std::string& value_name, const std::string& help,
            const std::optional<std::string>& otherwise = {});
  // May be repeated.
  void texts(const std::string& name, const std::string& value_name, const std::string& help);
  // Takes all words that follow, up to the next option.
  void words(const std::string& name, const std::string& value_name, const std::string& help);
  void numbers(const std::string& name, const std::string& value_name, const std::string& help);
  // T is int, std::int64_t, std::uint64_t or double.
  template <class T>
  void number(const std::string& name, const std::string& value_name, const std::string& help,
              std::optional<T> otherwise = {}) {
    add(name, value_name, help, OptionValue(otherwise.value_or(T{}))).has_default = otherwise.has_value();
  }
  // Writes into a variable, which keeps its value where the option is not given.
  template <class T>
  void fill(const std::string& name, const std::string& value_name, const std::string& help, T& variable) {
    add(name, value_name, help, OptionValue(T{})).store = [&variable](const OptionValue& value) {
      variable = std::get<T>(value);
    };
  }
  // What is declared from here on stands under this heading.
  void group(const std::string& heading) { group_ = heading; }

  const std::vector<Option>& declared() const { return declared_; }

 private:
  Option& add(const std::string& name, const std::string& value_name, const std::string& help, OptionValue value);

  std::vector<Option> declared_;
  std::string group_ = "options";
};

// What was given, and the defaults.
class Values {
 public:
  bool has(const std::string& name) const;
  // The value; the option must be there, or have a default.
  template <class T>
  const T& get(const std::string& name) const {
    return std::get<T>(at(name));
  }
  const std::string& text(const std::string& name) const { return get<std::string>(name); }
  // Of an option that may be repeated; empty where it is not given.
  std::vector<std::string> texts(const std::string& name) const;

  void set(const std::string& name, OptionValue value) { given_.emplace_back(name, std::move(value)); }

 private:
  const OptionValue& at(const std::string& name) const;

  std::vector<std::pair<std::string, OptionValue>> given_;
};

struct Usage {
  std::string synopsis;  // "hourglass plan PLAN [options]"
  std::string summary;
  std::vector<std::string>
      positional;  // option names that bare arguments fill, in order; "name*" takes all that follow
};

struct Invocation {
  std::vector<std::string> argv;       // the whole command line, for provenance
  std::vector<std::string> arguments;  // after the command's name
  // Where it is set, the command does nothing but hand over what it declares (to list all commands' options).
  std::function<void(const Usage&, const Options&)> describe = {};
};

// Parses without guessing from prefixes. Prints the help and returns false for --help; false also where the command
// is only to describe itself. Throws base::UsageError for anything the options do not allow, with a suggestion for an
// unknown one.
bool parse(const Invocation& invocation, const Usage& usage, const Options& options, Values& values);

}  // namespace hourglass::cli
