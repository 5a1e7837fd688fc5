// As much of the shell as launch scripts use for flags: words, both kinds of quotes, comments, a backslash at the end of
// a line, NAME=value and NAME=( ... ), and $NAME, ${NAME} and ${NAME:-default} of names that the script sets. Everything
// that begins with -- is a flag, and the words up to the next one are its values. Underscores in names are dashes
// (Megatron-LM's own parser takes both for torchrun's flags).
#include "planner/convert/megatron_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "base/error.h"

namespace hourglass::planner {

namespace {

constexpr std::size_t most_bytes = std::size_t{16} << 20;  // of all words with their variables put in

bool is_name_character(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  bool open = false;  // a word has begun, perhaps an empty one in quotes
  const auto end_word = [&] {
    if (open) words.push_back(word);
    word.clear();
    open = false;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && i + 1 < text.size()) {
      if (text[i + 1] != '\n') {
        word += text[i + 1];
        open = true;
      }
      ++i;
    } else if (c == '"' || c == '\'') {
      const std::size_t close = text.find(c, i + 1);
      word += text.substr(i + 1, close == std::string::npos ? std::string::npos : close - i - 1);
      open = true;
      i = close == std::string::npos ? text.size() : close;
    } else if (c == '#' && !open) {
      while (i + 1 < text.size() && text[i + 1] != '\n') ++i;
    } else if (std::isspace(static_cast<unsigned char>(c)) != 0 || c == ';' || c == '&') {
      end_word();
    } else if ((c == '(' || c == ')') && (!open || word.ends_with('=') || c == ')') &&
               std::count(word.begin(), word.end(), '(') == 0) {
      end_word();
    } else {
      word += c;
      open = true;
    }
  }
  end_word();
  return words;
}

std::string expanded(const std::string& word, const std::map<std::string, std::string>& variables) {
  std::string out;
  for (std::size_t i = 0; i < word.size();) {
    if (word[i] != '$' || i + 1 >= word.size() || word[i + 1] == '(') {
      out += word[i++];
      continue;
    }
    const bool braces = word[i + 1] == '{';
    std::size_t begin = i + (braces ? 2 : 1), end = begin;
    while (end < word.size() && is_name_character(word[end])) ++end;
    const std::string name = word.substr(begin, end - begin);
    std::string fallback;
    std::size_t after = end;
    if (braces) {
      const std::size_t close = word.find('}', end);
      if (close == std::string::npos) return out + word.substr(i);
      if (word.compare(end, 2, ":-") == 0) fallback = word.substr(end + 2, close - end - 2);
      after = close + 1;
    }
    const auto found = variables.find(name);
    if (found != variables.end() && !found->second.empty() && out.size() <= most_bytes)
      out += found->second;
    else if (!fallback.empty())
      out += fallback;
    else
      out += word.substr(i, after - i);
    i = after;
  }
  return out;
}

}  // namespace

MegatronFlags::MegatronFlags(const std::string& text, std::string where) : where_(std::move(where)) {
  std::map<std::string, std::string> variables;
  std::string current;
  std::size_t bytes = 0;
  for (const std::string& raw : words_of(text)) {
    const std::size_t equals = raw.find('=');
    const bool assignment =
        equals != std::string::npos && equals > 0 && !raw.starts_with("-") &&
        std::all_of(raw.begin(), raw.begin() + static_cast<std::ptrdiff_t>(equals), is_name_character);
    const std::string word = expanded(raw, variables);
    bytes += word.size();
    if (bytes > most_bytes) throw base::Error("its variables hold more than 16 MiB", where_, "write the flags out");
    if (assignment) {
      // The value may hold flags of its own: ARGS="--bf16 --seq-length 4096".
      variables[raw.substr(0, equals)] = word.substr(equals + 1);
      if (word.find("--") == std::string::npos) {
        current.clear();
        continue;
      }
    }
    for (const std::string& part : word.find("--") != std::string::npos && word.find(' ') != std::string::npos
                                       ? words_of(assignment ? word.substr(equals + 1) : word)
                                       : std::vector<std::string>{assignment ? word.substr(equals + 1) : word}) {
      if (!part.starts_with("--")) {
        if (!current.empty()) flags_[current].push_back(part);
        continue;
      }
      const std::size_t value = part.find('=');
      current = part.substr(2, value == std::string::npos ? std::string::npos : value - 2);
      std::replace(current.begin(), current.end(), '_', '-');
      flags_[current].clear();
      if (value != std::string::npos) flags_[current].push_back(part.substr(value + 1));
    }
  }
  flags_.erase("");
  if (flags_.empty()) throw base::Error("holds no flags", where_, "give a Megatron-LM launch script or its flags");
}

bool MegatronFlags::has(const std::string& name) {
  asked_.insert(name);
  return flags_.count(name) > 0;
}

std::vector<std::string> MegatronFlags::texts(const std::string& name) {
  return has(name) ? flags_[name] : std::vector<std::string>{};
}

std::string MegatronFlags::text(const std::string& name, const std::string& absent) {
  const std::vector<std::string> values = texts(name);
  return values.empty() ? absent : values.front();
}

std::int64_t MegatronFlags::count(const std::string& name, std::int64_t absent, std::int64_t most) {
  if (!has(name)) {
    if (absent < 0) fail(name, "is missing", "add it");
    return absent;
  }
  const std::string value = text(name);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number < 0 || number > most)
    fail(name, "'" + base::printable(value) + "' is no count",
         value.starts_with("$") ? "set the variable in the script, or write the number"
                                : fmt::format("write a whole number up to {}", most));
  return number;
}

std::vector<std::string> MegatronFlags::unread() const {
  std::vector<std::string> all;
  for (const auto& [name, values] : flags_) {
    if (asked_.count(name) == 0) all.push_back(name);
  }
  return all;
}

void MegatronFlags::fail(const std::string& name, const std::string& what, const std::string& fix) const {
  throw base::Error(what, where_ + " --" + base::printable(name), fix);
}

}  // namespace hourglass::planner
