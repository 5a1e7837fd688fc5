#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fields.h"
#include "base/provenance.h"
#include "hardware/measure/kineto_layers.h"

// Two steps beside each other in numbers: two traces, simulated or measured, or two results of the same command.
namespace hourglass::reports {

struct Difference {
  std::string group;  // "phase, us a layer"
  std::string name;   // "attn(F)"
  double a = 0.0, b = 0.0;
};

using NamedNumbers = std::vector<std::pair<std::string, double>>;
// Rows of both sides in the order of the first, then what only the second has.
void add_rows(std::vector<Difference>& rows, const std::string& group, const NamedNumbers& a, const NamedNumbers& b);

struct TraceDifferences {
  std::vector<Difference> rows;
  std::vector<std::string> notes;  // what of each trace was taken
};

// Per phase and per operator class, what one layer takes, so that a whole step and a snippet of a few layers compare.
// `blocks`: which blocks of a trace that states them; by default, where the other trace does not, those that it looks
// like. Without a phase in common, the classes' shares and mean kernels. Throws base::Error if there are no such blocks.
TraceDifferences trace_differences(const hardware::Trace& a, const hardware::Trace& b,
                                   std::optional<hardware::TraceBlocks> blocks = std::nullopt);

// Every number that two documents of --format json have in common; items of lists are matched by their name. Of a
// step's ranks the mean. Throws base::Error unless both are of the same kind and of a schema that is read (1.x).
std::vector<Difference> result_differences(const base::Json& a, const std::string& file_a, const base::Json& b,
                                           const std::string& file_b);

std::string diff_text(const std::string& name_a, const std::string& name_b, const std::vector<Difference>& rows,
                      const std::vector<std::string>& notes = {});
base::Json diff_json(const std::string& name_a, const std::string& name_b, const std::vector<Difference>& rows,
                     const std::vector<std::string>& notes, const base::Provenance& provenance);

}  // namespace hourglass::reports
