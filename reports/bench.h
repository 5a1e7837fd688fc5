#pragma once

#include <string>
#include <vector>

#include "base/fields.h"
#include "base/provenance.h"
#include "kernels/bench/bench.h"
#include "kernels/bench/bench_layer.h"

namespace hourglass::reports {

struct BenchReport {
  std::string backend;
  std::string date;
  kernels::DeviceDescription device;
  kernels::Ceilings ceilings;  // zeros: not measured
  std::vector<kernels::Measurement> measurements;
  std::vector<double> predicted;  // seconds, one for each measurement; empty: no profile was given
  std::vector<kernels::LayerPass> layers;
  std::vector<double> layers_predicted;  // the sums over their operators

  std::size_t faults() const;  // cases that gave wrong results
};

std::string bench_text(const BenchReport& report);
base::Json bench_json(const BenchReport& report, const base::Provenance& provenance);

// The device as a cluster of one, which hardware::read_cluster reads: peaks from the measured ceilings, with their
// origin as the source. Throws base::Error if the backend measured none.
base::Json cluster_json(const BenchReport& report);

}  // namespace hourglass::reports
