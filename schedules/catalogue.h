#pragma once

#include <optional>
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
  std::string (*rule)(const Shape&) = nullptr;  // what a shape must keep beside the ranges: "" or the rule it breaks
};

const std::vector<CatalogueEntry>& catalogue();
std::vector<std::string> names();
// Throws Error for an unknown name, suggesting the nearest.
const CatalogueEntry& catalogue_entry(const std::string& name);
// `chunks` as in Shape.
Traits traits(const std::string& name, int chunks = 0);

// Why a schedule cannot have a shape, and what to do: "dualpipe needs an even number of micro-batches, at least 2p = 16;
// got 13".
struct Refusal {
  std::string what, fix;
};
// Throws Error for an unknown name.
std::optional<Refusal> refusal(const std::string& name, const Shape& shape);

// Stages of a shape that is not refused.
int stage_count(const std::string& name, const Shape& shape);

// Throws Error for an unknown name and for a shape that is refused.
Schedule generate(const std::string& name, const Shape& shape);

}  // namespace hourglass::schedules
