#pragma once

#include <string>
#include <vector>

#include "base/json.h"

// The tables of a result as CSV, JSON Lines or Markdown, made from the result's own JSON document, so that every format
// has the same numbers.
namespace hourglass::reports {

struct Tabular {
  std::vector<std::string> columns;            // keys; those of objects inside a row are joined by dots
  std::vector<std::vector<base::Json>> cells;  // [row][column]; null where a row has no such key
};

// Of a list of objects, or of one object as a single row. Lists inside rows are left out, as are the document's
// schema_version and provenance.
Tabular tabular(const base::Json& rows);

std::string to_csv(const Tabular& table);         // RFC 4180, numbers in full precision
std::string to_json_lines(const Tabular& table);  // an object a line, absent keys left out
std::string to_markdown(const Tabular& table);    // numbers to six significant digits

// A table of a document: its rows, as tabular() takes them.
struct NamedRows {
  std::string name;
  base::Json rows;
};

// The lists at these paths of the document ("ranks", "comparison.actions"); "" is what the document says itself, as one
// row. A list that the document does not have is left out.
std::vector<NamedRows> tables_of(const base::Json& document, const std::vector<std::string>& paths);

// What --format csv, jsonl or markdown prints. Several tables are told apart by their names: a first column "table" in
// CSV and JSON Lines, headings in Markdown, which also says above them which command made it.
std::string formatted(const base::Json& document, const std::vector<NamedRows>& tables, const std::string& format);

}  // namespace hourglass::reports
