#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/provenance.h"
#include "hardware/kineto.h"

// Two steps beside each other in numbers: two traces, simulated or measured, or two results of the same command.
namespace hourglass::reports {

struct Difference {
  std::string group;  // "phase, us a layer"
  std::string name;   // "attn(F)"
  double a = 0.0, b = 0.0;
};

// Per phase, what one layer takes: its kernels' time, and from its first start to its last end. Per operator class, its
// share of all kernels' time and the mean kernel. Whole steps and single pairs of layers compare this way.
std::vector<Difference> trace_differences(const hardware::TraceSummary& a, const hardware::TraceSummary& b);

// Every number that two documents of --format json have in common; items of lists are matched by their name. Of a
// step's ranks the mean. Throws base::Error unless both are of the same kind and of a schema that is read (1.x).
std::vector<Difference> result_differences(const base::Json& a, const std::string& file_a, const base::Json& b,
                                           const std::string& file_b);

std::string diff_text(const std::string& name_a, const std::string& name_b, const std::vector<Difference>& rows);
base::Json diff_json(const std::string& name_a, const std::string& name_b, const std::vector<Difference>& rows,
                     const base::Provenance& provenance);

}  // namespace hourglass::reports
