#pragma once

#include <string>
#include <vector>

#include "base/reference.h"

// Every key of what the program reads and writes, for the page of reference and for `hourglass help KEY`. Keys of plans
// come from their descriptions (sim/training/plan_keys.cpp); those of results from configs/schema, where they are
// described.
namespace hourglass::reports {

struct KeyTable {
  std::string name;                      // "plan", "simulate": what its keys begin with
  std::string title;                     // "Plans", "hourglass simulate"
  std::string what;                      // one sentence
  bool input = true;                     // a file that is read, else the JSON of a result
  std::vector<base::ReferenceRow> rows;  // without the name
};
const std::vector<KeyTable>& key_tables();

// What is known of "plan.recompute"; of a name or a key that has others inside, these too. A list's items may be named
// "plan.stages[].tokens", "plan.stages.0.tokens" or "plan.stages.tokens". Throws base::UsageError for anything else.
std::string help_text(const std::string& key);

std::string reference_page();  // docs/reference.md

// The JSON schemas that are generated: file names of configs/schema without ".schema.json".
std::vector<std::string> generated_schemas();
base::Json generated_schema(const std::string& name);

}  // namespace hourglass::reports
