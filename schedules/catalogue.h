#pragma once

#include <string>
#include <vector>

#include "schedules/schedule.h"

// Every schedule by name. Adding one: write its generator in a file of its own, declare it in generators.h, and add a
// line to the table in catalogue.cpp.
namespace hourglass::schedules {

struct Shape {
  int ranks = 1;          // p, at most 1024
  int micro_batches = 1;  // m, at most 1,000,000
  int chunks = 0;         // v, stages a rank holds; 0: the schedule's default
};

struct CatalogueEntry {
  std::string name;
  Schedule (*generator)(const Shape&);
  std::string description;
  int default_chunks = 1;
  bool takes_chunks = false;  // Shape::chunks may be chosen; else it must be 0 or the default
  int parameter_copies = 1;
};

const std::vector<CatalogueEntry>& catalogue();
std::vector<std::string> names();
// Throws Error for an unknown name, suggesting the nearest.
const CatalogueEntry& catalogue_entry(const std::string& name);

// Throws Error for an unknown name, and for an illegal shape with the rule that it breaks, e.g.
// "dualpipe needs an even number of micro-batches, at least 2p = 16; got 13".
Schedule generate(const std::string& name, const Shape& shape);

}  // namespace hourglass::schedules
