#include "cli/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <sstream>
#include <stdexcept>

#include "base/error.h"
#include "cli/output.h"

namespace hourglass::cli {

namespace po = boost::program_options;

namespace {

// The bare name: Boost writes '--name' into some messages and 'name' into others.
std::string with_dashes(std::string name) {
  name.erase(0, name.find_first_not_of('-'));
  return "--" + name;
}

template <class T>
const po::value_semantic* typed(const Option& option, const T& otherwise) {
  po::typed_value<T>* value = po::value<T>();
  value->value_name(option.value_name);
  if constexpr (!std::is_same_v<T, std::vector<std::string>> && !std::is_same_v<T, std::vector<std::int64_t>>) {
    if (option.has_default) value->default_value(otherwise);
  }
  if (option.takes_all) value->multitoken();
  return value;
}

void add(po::options_description& description, const Option& option) {
  const std::string name = option.letter.empty() ? option.name : option.name + "," + option.letter;
  if (option.value_name.empty()) {
    description.add_options()(name.c_str(), option.help.c_str());
    return;
  }
  const po::value_semantic* value =
      std::visit([&](const auto& otherwise) { return typed(option, otherwise); }, option.value);
  description.add_options()(name.c_str(), value, option.help.c_str());
}

// As Boost prints them: the options, then the groups with a heading of their own.
po::options_description described(const Options& options) {
  std::vector<std::string> headings = {"options"};
  for (const Option& option : options.declared()) {
    if (std::find(headings.begin(), headings.end(), option.group) == headings.end()) headings.push_back(option.group);
  }
  po::options_description all(headings.front());
  for (const std::string& heading : headings) {
    po::options_description group(heading);
    po::options_description& into = heading == headings.front() ? all : group;
    for (const Option& option : options.declared()) {
      if (option.group == heading) add(into, option);
    }
    if (&into == &group) all.add(group);
  }
  return all;
}

OptionValue value_of(const Option& option, const po::variable_value& given) {
  return std::visit([&]<class T>(const T&) { return OptionValue(given.as<T>()); }, option.value);
}

}  // namespace

Option& Options::add(const std::string& name, const std::string& value_name, const std::string& help,
                     OptionValue value) {
  const std::size_t comma = name.find(',');
  Option option;
  option.name = name.substr(0, comma);
  if (comma != std::string::npos) option.letter = name.substr(comma + 1);
  option.value_name = value_name;
  option.help = help;
  option.value = std::move(value);
  option.group = group_;
  return declared_.emplace_back(std::move(option));
}

void Options::flag(const std::string& name, const std::string& help) { add(name, "", help, std::string()); }

void Options::text(const std::string& name, const std::string& value_name, const std::string& help,
                   const std::optional<std::string>& otherwise) {
  add(name, value_name, help, otherwise.value_or("")).has_default = otherwise.has_value();
}

void Options::texts(const std::string& name, const std::string& value_name, const std::string& help) {
  add(name, value_name, help, std::vector<std::string>());
}

void Options::words(const std::string& name, const std::string& value_name, const std::string& help) {
  add(name, value_name, help, std::vector<std::string>()).takes_all = true;
}

void Options::numbers(const std::string& name, const std::string& value_name, const std::string& help) {
  add(name, value_name, help, std::vector<std::int64_t>()).takes_all = true;
}

bool Values::has(const std::string& name) const {
  return std::any_of(given_.begin(), given_.end(), [&](const auto& each) { return each.first == name; });
}

const OptionValue& Values::at(const std::string& name) const {
  const auto found = std::find_if(given_.begin(), given_.end(), [&](const auto& each) { return each.first == name; });
  if (found == given_.end()) throw std::logic_error("nothing was given for --" + name);
  return found->second;
}

std::vector<std::string> Values::texts(const std::string& name) const {
  return has(name) ? get<std::vector<std::string>>(name) : std::vector<std::string>{};
}

bool parse(const Invocation& invocation, const Usage& usage, const Options& options, Values& values) {
  if (invocation.describe) {
    invocation.describe(usage, options);
    return false;
  }
  po::options_description all;
  all.add(described(options)).add_options()("help,h", "print this help");
  po::options_description hidden;
  po::positional_options_description positional;
  std::vector<std::string> bare;
  for (const std::string& name : usage.positional) {
    if (name.ends_with('*')) {  // all that follow, of an option that is listed
      positional.add(name.substr(0, name.size() - 1).c_str(), -1);
      continue;
    }
    hidden.add_options()(name.c_str(), po::value<std::string>());
    positional.add(name.c_str(), 1);
    bare.push_back(name);
  }
  po::options_description everything;
  everything.add(all).add(hidden);
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  const std::string where = invocation.argv.size() > 1 ? "hourglass " + invocation.argv[1] : "hourglass";
  po::variables_map given;
  try {
    po::store(
        po::command_line_parser(invocation.arguments).options(everything).positional(positional).style(style).run(),
        given);
  } catch (const po::unknown_option& error) {
    const std::string name = with_dashes(error.get_option_name());
    std::vector<std::string> names;
    for (const auto& option : all.options()) names.push_back("--" + option->long_name());
    throw base::UsageError(fmt::format("unknown option '{}'", base::printable(name)), where,
                           base::suggestion(name, names));
  } catch (const po::too_many_positional_options_error&) {
    throw base::UsageError("too many arguments", where, "the command is " + usage.synopsis);
  } catch (const po::error& error) {
    throw base::UsageError(base::printable(error.what()), where, "see " + where + " --help");
  }
  if (given.count("help") > 0) {
    std::ostringstream help;
    help << usage.summary << "\n\nusage: " << usage.synopsis << "\n\n" << all;
    write_out(help.str());
    return false;
  }
  for (const std::string& name : bare) {
    if (given.count(name) > 0) values.set(name, given[name].as<std::string>());
  }
  for (const Option& option : options.declared()) {
    if (given.count(option.name) == 0) continue;
    OptionValue value = option.value_name.empty() ? OptionValue() : value_of(option, given[option.name]);
    if (option.store) option.store(value);
    values.set(option.name, std::move(value));
  }
  return true;
}

}  // namespace hourglass::cli
