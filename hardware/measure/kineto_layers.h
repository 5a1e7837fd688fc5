#pragma once

#include <string>
#include <utility>
#include <vector>

#include "hardware/measure/kineto.h"

// What one layer of a trace takes, phase by phase.
namespace hourglass::hardware {

// Which blocks of the schedule to look at: overlapped pairs of a forward and a backward, all others, or all.
enum class TraceBlocks : std::uint8_t { all, pairs, alone };

struct PhaseLayers {
  std::string phase;
  std::size_t layers = 0;   // how often it occurs
  double kernels_us = 0.0;  // a layer: while at least one of its kernels runs
  double span_us = 0.0;     // of the median layer: from its first start to its last end (where it communicates)
  double pitch_us = 0.0;    // from one layer's start to the next one's, the median; 0: no two layers follow each other
  std::vector<std::pair<std::string, double>> classes;  // us a layer, largest first
};
using TraceLayers = std::vector<PhaseLayers>;  // in order of appearance

TraceLayers trace_layers(const Trace& trace, TraceBlocks blocks);

// The upper of the two middle ones; 0 of none.
double median(std::vector<double> values);

// Whether its kernels say in which kind of block they run, as a simulated trace does.
bool states_blocks(const Trace& trace);
// Whether forward and backward phases run at once on the first GPU, for at least a quarter of the forward's time.
bool runs_in_pairs(const Trace& trace);

}  // namespace hourglass::hardware
