#include "reports/tabular.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/json.h"

namespace hourglass::reports {

namespace {

using base::Json;

void flatten(const Json& object, const std::string& prefix, Json& out) {
  for (const auto& [key, value] : object.items()) {
    if (prefix.empty() && (key == "provenance" || key == "schema_version")) continue;
    if (value.is_object())
      flatten(value, prefix + key + ".", out);
    else if (!value.is_array() && !value.is_null())
      out[prefix + key] = value;
  }
}

std::string csv_text(const Json& cell) {
  if (cell.is_null()) return "";
  const std::string text = cell.is_string() ? cell.get<std::string>() : cell.dump();
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

// Text of a configuration must not become markup or end the cell.
std::string markdown_text(const Json& cell) {
  if (cell.is_null()) return "";
  if (cell.is_boolean()) return cell.get<bool>() ? "yes" : "no";
  if (cell.is_number_float()) return fmt::format("{:.6g}", cell.get<double>());
  if (!cell.is_string()) return cell.dump();
  std::string out;
  for (const char c : cell.get<std::string>()) {
    if (c == '\n' || c == '\r')
      out += ' ';
    else if (c == '<')
      out += "&lt;";
    else if (std::string_view("\\`*_[]|").find(c) != std::string_view::npos)
      out += std::string("\\") + c;
    else
      out += c;
  }
  return out;
}

std::string command_line(const Json& document) {
  std::string out;
  const Json& argv = document.at("provenance").at("argv");
  for (std::size_t i = 0; i < argv.size(); ++i) {
    std::string word = i == 0 ? "hourglass" : argv[i].get<std::string>();
    if (word.find_first_of(" '\"{}[]$&|;<>()*?\\`") != std::string::npos) word = "'" + word + "'";
    out += (i == 0 ? "" : " ") + word;
  }
  std::replace(out.begin(), out.end(), '`', '\'');
  std::replace(out.begin(), out.end(), '\n', ' ');
  return out;
}

}  // namespace

Tabular tabular(const Json& rows) {
  Tabular table;
  std::vector<Json> flat;
  const Json list = rows.is_array() ? rows : Json::array({rows});
  for (const Json& row : list) {
    Json out = Json::object();
    flatten(row, "", out);
    // A new key goes behind the one that it follows in its row.
    std::size_t place = 0;
    for (const auto& [key, value] : out.items()) {
      const auto found = std::find(table.columns.begin(), table.columns.end(), key);
      if (found == table.columns.end())
        table.columns.insert(table.columns.begin() + static_cast<std::ptrdiff_t>(place), key);
      else
        place = static_cast<std::size_t>(found - table.columns.begin());
      ++place;
    }
    flat.push_back(std::move(out));
  }
  for (const Json& row : flat) {
    std::vector<Json> cells;
    for (const std::string& column : table.columns) cells.push_back(row.contains(column) ? row[column] : Json());
    table.cells.push_back(std::move(cells));
  }
  return table;
}

std::string to_csv(const Tabular& table) {
  std::string out;
  for (std::size_t i = 0; i < table.columns.size(); ++i) out += (i > 0 ? "," : "") + csv_text(table.columns[i]);
  out += "\n";
  for (const auto& row : table.cells) {
    for (std::size_t i = 0; i < row.size(); ++i) out += (i > 0 ? "," : "") + csv_text(row[i]);
    out += "\n";
  }
  return out;
}

std::string to_json_lines(const Tabular& table) {
  std::string out;
  for (const auto& row : table.cells) {
    Json line = Json::object();
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (!row[i].is_null()) line[table.columns[i]] = row[i];
    }
    out += line.dump() + "\n";
  }
  return out;
}

std::string to_markdown(const Tabular& table) {
  std::string heading = "|", rule = "|";
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const bool text =
        std::any_of(table.cells.begin(), table.cells.end(), [&](const auto& r) { return r[i].is_string(); });
    heading += " " + markdown_text(table.columns[i]) + " |";
    rule += text ? " --- |" : " ---: |";
  }
  std::string out = heading + "\n" + rule + "\n";
  for (const auto& row : table.cells) {
    out += "|";
    for (const Json& cell : row) out += " " + markdown_text(cell) + " |";
    out += "\n";
  }
  return out;
}

std::vector<NamedRows> tables_of(const Json& document, const std::vector<std::string>& paths) {
  std::vector<NamedRows> tables;
  for (const std::string& path : paths) {
    std::string pointer = path.empty() ? "" : "/" + path;
    std::replace(pointer.begin(), pointer.end(), '.', '/');
    const Json::json_pointer at(pointer);
    if (document.contains(at)) tables.push_back({path.empty() ? "summary" : path, document.at(at)});
  }
  return tables;
}

std::string formatted(const Json& document, const std::vector<NamedRows>& tables, const std::string& format) {
  const bool one = tables.size() == 1;
  if (format != "markdown") {
    Json rows = Json::array();
    for (const NamedRows& table : tables) {
      for (const Json& row : table.rows.is_array() ? table.rows : Json::array({table.rows})) {
        rows.push_back(one ? Json::object() : Json{{"table", table.name}});
        rows.back().update(row);
      }
    }
    return format == "csv" ? to_csv(tabular(rows)) : to_json_lines(tabular(rows));
  }
  std::string out =
      fmt::format("`{}` (version {}, commit {})\n", command_line(document), document["provenance"].value("version", ""),
                  document["provenance"].value("git_commit", ""));
  for (const NamedRows& table : tables) {
    if (!one) out += fmt::format("\n**{}**\n", table.name);
    out += "\n" + to_markdown(tabular(table.rows));
  }
  return out;
}

}  // namespace hourglass::reports
