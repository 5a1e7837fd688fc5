#pragma once

#include <string>
#include <vector>

#include "schedules/schedule.h"

// Every schedule by name. Adding one: write its generator in a file of its own, declare it in generators.h, and add a
// line to the table in catalogue.cpp.
namespace hourglass::schedules {

// What a schedule does whatever its shape. Stated here, so that nobody has to generate an instance and look; tests hold
// every schedule's instances to it.
struct Traits {
  int stages_per_rank = 1;  // of one copy
  int copies = 1;           // of each parameter over the pipeline
  bool pairs = false;       // overlaps a forward and a full backward as one action, given micro-batches enough
  bool fused = false;       // runs B and W as one action, BW
};

struct CatalogueEntry {
  std::string name;
  Schedule (*generator)(const Shape&);
  bool pairs, fused;  // as Traits has them
  std::string description;
  int default_chunks = 1;
  bool takes_chunks = false;  // Shape::chunks may be chosen; else it must be 0 or the default
  int parameter_copies = 1;
};

const std::vector<CatalogueEntry>& catalogue();
std::vector<std::string> names();
// Throws Error for an unknown name, suggesting the nearest.
const CatalogueEntry& catalogue_entry(const std::string& name);
// `chunks` as in Shape.
Traits traits(const std::string& name, int chunks = 0);

// Throws Error for an unknown name, and for an illegal shape with the rule that it breaks, e.g.
// "dualpipe needs an even number of micro-batches, at least 2p = 16; got 13".
Schedule generate(const std::string& name, const Shape& shape);

}  // namespace hourglass::schedules
