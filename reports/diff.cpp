#include "reports/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/json.h"
#include "reports/json.h"
#include "reports/table.h"

namespace hourglass::reports {

using base::Json;

void add_rows(std::vector<Difference>& rows, const std::string& group, const NamedNumbers& a, const NamedNumbers& b) {
  const auto value = [](const NamedNumbers& all, const std::string& name) {
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& each) { return each.first == name; });
    return found == all.end() ? 0.0 : found->second;
  };
  for (const auto& [name, number] : a) rows.push_back({group, name, number, value(b, name)});
  for (const auto& [name, number] : b) {
    const bool both = std::any_of(a.begin(), a.end(), [&, &n = name](const auto& each) { return each.first == n; });
    if (!both) rows.push_back({group, name, 0.0, number});
  }
}

namespace {

using Named = NamedNumbers;

// What an item of a list is called: by its name if it has one, else by its place.
std::string label_of(const Json& item, std::size_t place) {
  std::string label;
  for (const char* key : {"class", "name", "id", "link", "cost", "pipeline_rank", "value"}) {
    if (!item.is_object() || !item.contains(key)) continue;
    label += (label.empty() ? "" : " ") + (item[key].is_string() ? item[key].get<std::string>() : item[key].dump());
  }
  return label.empty() ? std::to_string(place) : label;
}

using Numbers = std::vector<std::pair<std::string, std::pair<std::string, double>>>;  // group, name, value

void collect(const Json& value, const std::string& group, const std::string& name, Numbers& out) {
  if (value.is_number()) {
    out.push_back({group, {name, value.get<double>()}});
  } else if (value.is_object()) {
    for (const auto& [key, each] : value.items()) {
      if (key == "provenance" || key == "ranks") continue;
      collect(each, group, name.empty() ? key : name + "." + key, out);
    }
  } else if (value.is_array()) {
    const std::string inner = group == "figures" ? name : group + "." + name;
    for (std::size_t i = 0; i < value.size(); ++i) collect(value[i], inner, label_of(value[i], i), out);
  }
}

// The mean over a step's ranks, key by key.
Named rank_means(const Json& document) {
  Named means;
  if (!document.contains("ranks") || !document["ranks"].is_array() || document["ranks"].empty()) return means;
  std::map<std::string, std::size_t> place;
  for (const Json& rank : document["ranks"]) {
    Numbers numbers;
    collect(rank, "", "", numbers);
    for (const auto& [group, number] : numbers) {
      if (number.first == "pipeline_rank") continue;
      const auto [entry, fresh] = place.emplace(number.first, means.size());
      if (fresh) means.emplace_back(number.first, 0.0);
      means[entry->second].second += number.second / static_cast<double>(document["ranks"].size());
    }
  }
  return means;
}

// The kind of a document by a key that only it has.
std::string kind_of(const Json& document, const std::string& file) {
  const bool stated =
      document.is_object() && document.contains("schema_version") && document["schema_version"].is_string();
  const std::string version = stated ? document["schema_version"].get<std::string>() : "";
  if (version.empty()) throw base::Error("has no schema_version", file, "name a trace or a result of --format json");
  const std::string major = document.contains("front") ? "2." : "1.";
  if (!version.starts_with(major))
    throw base::Error("is of schema " + base::printable(version), file, "this program reads " + major + "x");
  constexpr std::pair<const char*, const char*> kinds[] = {
      {"step_time_s", "simulate"}, {"total_gpu_hours", "plan"}, {"schedules", "compare"},     {"rows", "validate"},
      {"front", "search"},         {"parameters", "model"},     {"collective", "collective"}, {"fabric", "topology"}};
  for (const auto& [key, kind] : kinds) {
    if (document.contains(key)) return kind;
  }
  return "other";
}

}  // namespace

std::vector<Difference> result_differences(const Json& a, const std::string& file_a, const Json& b,
                                           const std::string& file_b) {
  const std::string kind = kind_of(a, file_a), other = kind_of(b, file_b);
  if (kind != other)
    throw base::Error(fmt::format("is a result of {}, {} of {}", kind, file_b, other), file_a, "name two of one kind");
  std::vector<Difference> rows;
  add_rows(rows, "ranks, mean", rank_means(a), rank_means(b));
  Numbers numbers_a, numbers_b;
  collect(a, "figures", "", numbers_a);
  collect(b, "figures", "", numbers_b);
  std::vector<std::string> groups;
  std::map<std::string, std::pair<Named, Named>> by_group;
  const auto sort = [&](const Numbers& numbers, bool second) {
    for (const auto& [group, number] : numbers) {
      const auto [entry, fresh] = by_group.emplace(group, std::pair<Named, Named>{});
      if (fresh) groups.push_back(group);
      (second ? entry->second.second : entry->second.first).push_back(number);
    }
  };
  sort(numbers_a, false);
  sort(numbers_b, true);
  for (const std::string& group : groups) add_rows(rows, group, by_group[group].first, by_group[group].second);
  return rows;
}

std::string diff_text(const std::string& name_a, const std::string& name_b, const std::vector<Difference>& rows,
                      const std::vector<std::string>& notes) {
  std::string out = fmt::format("A {}\nB {}\n", base::printable(name_a), base::printable(name_b));
  for (const std::string& note : notes) out += "  " + note + "\n";
  std::size_t equal = 0;
  for (std::size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
    Table table({rows[begin].group, "A", "B", "B - A", "B / A"});
    bool any = false;
    for (end = begin; end < rows.size() && rows[end].group == rows[begin].group; ++end) {
      const Difference& row = rows[end];
      if (row.a == row.b) {
        ++equal;
        continue;
      }
      any = true;
      table.add({base::printable(row.name), fmt::format("{:.6g}", row.a), fmt::format("{:.6g}", row.b),
                 fmt::format("{:+.4g}", row.b - row.a),
                 row.a != 0.0 && row.b != 0.0 ? fmt::format("{:+.1f} %", (row.b / row.a - 1.0) * 100.0) : "-"});
    }
    if (any) out += "\n" + table.text();
  }
  return out + fmt::format("\n  {} of {} numbers are equal\n", equal, rows.size());
}

Json diff_json(const std::string& name_a, const std::string& name_b, const std::vector<Difference>& rows,
               const std::vector<std::string>& notes, const base::Provenance& provenance) {
  Json list = Json::array();
  for (const Difference& row : rows) {
    list.push_back(
        {{"group", row.group}, {"name", row.name}, {"a", row.a}, {"b", row.b}, {"difference", row.b - row.a}});
    if (row.a != 0.0) list.back()["relative"] = row.b / row.a - 1.0;
  }
  return {{"schema_version", schema_version},
          {"provenance", base::provenance_json(provenance)},
          {"a", name_a},
          {"b", name_b},
          {"notes", notes},
          {"differences", std::move(list)}};
}

}  // namespace hourglass::reports
