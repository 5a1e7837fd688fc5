// Two traces beside each other. A whole step and a snippet of a few layers have in common what one layer does, so that
// everything is per layer: a phase's kernels and its span, and every operator class, overall and inside each phase.
// Overall is the sum over the phases that both traces have, each divided by its own number of layers, so that what only
// one of them contains (the head, the optimizer, messages between ranks) does not blur it.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "hardware/measure/kineto_layers.h"
#include "reports/diff.h"
#include "reports/table.h"

namespace hourglass::reports {

namespace {

using hardware::PhaseLayers;
using hardware::Trace;
using hardware::TraceBlocks;
using hardware::TraceLayers;

const PhaseLayers* find(const TraceLayers& layers, const std::string& phase) {
  const auto found = std::find_if(layers.begin(), layers.end(), [&](const auto& each) { return each.phase == phase; });
  return found == layers.end() ? nullptr : &*found;
}

// The phases of both, those of the first before those that only the second has.
std::vector<std::string> phases_of(const TraceLayers& a, const TraceLayers& b, bool common) {
  std::vector<std::string> names;
  for (const PhaseLayers& each : a) {
    if (!common || find(b, each.phase) != nullptr) names.push_back(each.phase);
  }
  for (const PhaseLayers& each : b) {
    if (!common && find(a, each.phase) == nullptr) names.push_back(each.phase);
  }
  return names;
}

void add(NamedNumbers& sums, const std::string& name, double value) {
  const auto found = std::find_if(sums.begin(), sums.end(), [&](const auto& each) { return each.first == name; });
  if (found == sums.end())
    sums.emplace_back(name, value);
  else
    found->second += value;
}

NamedNumbers classes_of(const TraceLayers& layers, const std::vector<std::string>& phases, bool by_phase) {
  NamedNumbers out;
  for (const std::string& name : phases) {
    for (const auto& [cls, us] : find(layers, name)->classes) add(out, by_phase ? name + " " + cls : cls, us);
  }
  const auto larger = [](const auto& x, const auto& y) { return x.second > y.second; };
  if (!by_phase) std::stable_sort(out.begin(), out.end(), larger);
  return out;
}

NamedNumbers each_of(const TraceLayers& layers, const std::vector<std::string>& phases, double PhaseLayers::*value) {
  NamedNumbers out;
  for (const std::string& name : phases) {
    if (const PhaseLayers* phase = find(layers, name)) out.emplace_back(name, phase->*value);
  }
  return out;
}

// The phases of a trace follow each other at the same pace, but for those at its ends.
double pitch_of(const TraceLayers& layers, const std::vector<std::string>& phases) {
  std::vector<double> pitches;
  for (const std::string& name : phases) {
    if (const double pitch = find(layers, name)->pitch_us; pitch > 0.0) pitches.push_back(pitch);
  }
  return hardware::median(std::move(pitches));
}

void per_layer(std::vector<Difference>& rows, const TraceLayers& a, const TraceLayers& b) {
  const std::vector<std::string> all = phases_of(a, b, false), common = phases_of(a, b, true);
  rows.push_back({"layer, us", "from a layer to the next, median", pitch_of(a, common), pitch_of(b, common)});
  add_rows(rows, "phase, us from first start to last end, median layer", each_of(a, all, &PhaseLayers::span_us),
           each_of(b, all, &PhaseLayers::span_us));
  add_rows(rows, "phase, us of its kernels a layer", each_of(a, all, &PhaseLayers::kernels_us),
           each_of(b, all, &PhaseLayers::kernels_us));
  add_rows(rows, "operator class, us a layer in phases of both", classes_of(a, common, false),
           classes_of(b, common, false));
  add_rows(rows, "operator class by phase, us a layer", classes_of(a, common, true), classes_of(b, common, true));
}

// Without phases in common only shares and means are comparable.
void whole(std::vector<Difference>& rows, const Trace& trace_a, const Trace& trace_b) {
  const hardware::TraceSummary a = hardware::trace_summary(trace_a), b = hardware::trace_summary(trace_b);
  rows.push_back({"whole, us", "first start to last end", a.wall_us, b.wall_us});
  NamedNumbers share[2], mean[2];
  for (const int side : {0, 1}) {
    double all = 0.0;
    const auto& classes = (side == 0 ? a : b).classes;
    for (const hardware::TraceTotal& total : classes) all += total.us;
    for (const hardware::TraceTotal& total : classes) {
      share[side].emplace_back(total.name, all > 0.0 ? total.us / all * 100.0 : 0.0);
      mean[side].emplace_back(total.name, total.count > 0 ? total.us / static_cast<double>(total.count) : 0.0);
    }
  }
  add_rows(rows, "operator class, % of all kernels' time", share[0], share[1]);
  add_rows(rows, "operator class, us a kernel", mean[0], mean[1]);
}

std::size_t most_layers(const TraceLayers& layers) {
  std::size_t most = 0;
  for (const PhaseLayers& each : layers) most = std::max(most, each.layers);
  return most;
}

// The trace that does not say its blocks decides, by what it looks like.
TraceBlocks blocks_like(const Trace& other) {
  return hardware::runs_in_pairs(other) ? TraceBlocks::pairs : TraceBlocks::alone;
}

constexpr const char* block_names[] = {"all blocks", "overlapped pairs (F&B)", "blocks that run alone"};

// Fills rows and the note of what was taken of a trace. A trace that says no blocks is taken whole.
TraceLayers taken_of(const Trace& trace, TraceBlocks blocks, const char* side, bool asked, TraceDifferences& out) {
  if (!hardware::states_blocks(trace)) blocks = TraceBlocks::all;
  TraceLayers layers = hardware::trace_layers(trace, blocks);
  if (layers.empty() && blocks != TraceBlocks::all) {
    if (asked)
      throw base::Error(fmt::format("has no {}", block_names[static_cast<std::size_t>(blocks)]), trace.path,
                        "leave out --blocks, or choose others");
    blocks = TraceBlocks::all;
    layers = hardware::trace_layers(trace, blocks);
  }
  if (!layers.empty())
    out.notes.push_back(fmt::format("{}: {} layers, {}, phases from {}", side,
                                    grouped(static_cast<double>(most_layers(layers))),
                                    block_names[static_cast<std::size_t>(blocks)], trace.phases_from));
  return layers;
}

}  // namespace

TraceDifferences trace_differences(const Trace& a, const Trace& b, std::optional<TraceBlocks> blocks) {
  const bool states_a = hardware::states_blocks(a), states_b = hardware::states_blocks(b), asked = blocks.has_value();
  if (asked && *blocks != TraceBlocks::all && !states_a && !states_b)
    throw base::UsageError("neither trace says which blocks are pairs", "--blocks", "leave it out");
  if (!asked) blocks = states_a == states_b ? TraceBlocks::all : blocks_like(states_a ? b : a);
  TraceDifferences out;
  const TraceLayers layers_a = taken_of(a, *blocks, "A", asked, out), layers_b = taken_of(b, *blocks, "B", asked, out);
  if (phases_of(layers_a, layers_b, true).empty()) {
    out.notes = {"the traces have no phase in common: whole traces are compared"};
    whole(out.rows, a, b);
  } else {
    per_layer(out.rows, layers_a, layers_b);
  }
  return out;
}

}  // namespace hourglass::reports
