// The catalogue: one line per schedule. Papers:
//   gpipe                         Huang et al., GPipe, arXiv 1811.06965
//   1f1b                          Narayanan et al., PipeDream-Flush, arXiv 2006.09503
//   interleaved-1f1b              Narayanan et al., Megatron-LM, arXiv 2104.04473
//   looped-bfs                    Lamy-Poirier, Breadth-First Pipeline Parallelism, arXiv 2211.05953
//   zb-h1, zb-h2                  Qi et al., Zero Bubble Pipeline Parallelism, arXiv 2401.10241
//   zb-v, v-half, v-min           Qi et al., Pipeline Parallelism with Controllable Memory, arXiv 2405.15362
//   dualpipe, dualpipev           DeepSeek-AI, DeepSeek-V3, arXiv 2412.19437, and its DualPipe repository
//   interleaved-overlap           Megatron-Core's combined 1F1B with expert-parallel overlap
#include "schedules/catalogue.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "schedules/generators.h"

namespace hourglass::schedules {

namespace {

constexpr int most_ranks = 1024;
constexpr int most_chunks = 64;
constexpr int most_micro_batches = 1'000'000;
constexpr long long most_blocks = 4'000'000;  // stages x micro-batches: about 12 million actions, 240 MB

std::optional<Refusal> out_of_range(const std::string& name, const std::string& what, int value, int most) {
  if (value >= 1 && value <= most) return {};
  return Refusal{fmt::format("{} needs between 1 and {} {}; got {}", name, most, what, value), ""};
}

std::optional<Refusal> refused_chunks(const CatalogueEntry& entry, int chunks) {
  if (chunks == 0) return {};
  if (auto out = out_of_range(entry.name, "chunks a rank", chunks, most_chunks)) return out;
  if (entry.takes_chunks || chunks == entry.default_chunks) return {};
  const std::string held = entry.default_chunks == 1 ? "1 chunk" : fmt::format("{} chunks", entry.default_chunks);
  return Refusal{fmt::format("{} holds {} a rank; got {}", entry.name, held, chunks),
                 "leave the number of chunks out, or choose an interleaved or looped schedule"};
}

Shape filled(const CatalogueEntry& entry, const Shape& shape) {
  return {shape.ranks, shape.micro_batches, shape.chunks == 0 ? entry.default_chunks : shape.chunks};
}

}  // namespace

const std::vector<CatalogueEntry>& catalogue() {
  static const std::vector<CatalogueEntry> entries{
      // name, generator, pairs, fused, description, default chunks, takes chunks, copies of the parameters, rule
      {"gpipe", gpipe, false, true, "all forwards, then all backwards"},
      {"1f1b", one_forward_one_backward, false, true, "one forward, one backward: activations of p - r micro-batches"},
      {"interleaved-1f1b", interleaved_1f1b, false, true, "1f1b over v looped chunks: a bubble v times smaller", 2,
       true, 1, interleaved_1f1b_rule},
      {"interleaved-overlap", interleaved_overlap, true, true, "interleaved-1f1b with every steady F and BW overlapped",
       2, true, 1, interleaved_overlap_rule},
      {"looped-bfs", looped_bfs, false, true, "breadth first over v looped chunks: gpipe with a smaller bubble", 2,
       true},
      {"zb-h1", zb_h1, false, false, "1f1b with deferred weight gradients: a third of the bubble at equal memory"},
      {"zb-h2", zb_h2, false, false, "no bubble in span, for the activations of 2p - 1 micro-batches", 1, false, 1,
       zb_h2_rule},
      {"zb-v", zb_v, false, false, "V-shaped: no bubble in span at 1f1b's memory", 2},
      {"v-half", v_half, false, false, "V-shaped: half of 1f1b's activations", 2},
      {"v-min", v_min, false, false, "V-shaped: a third of 1f1b's activations", 2},
      {"dualpipe", dualpipe, true, true, "fed from both ends, F and BW overlapped; two copies of the parameters", 2,
       false, 2, dualpipe_rule},
      {"dualpipev", dualpipev, true, true, "dualpipe cut in half: V-shaped, one copy of the parameters", 2, false, 1,
       dualpipev_rule},
  };
  return entries;
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const CatalogueEntry& entry : catalogue()) all.push_back(entry.name);
  return all;
}

const CatalogueEntry& catalogue_entry(const std::string& name) {
  const auto& entries = catalogue();
  const auto found =
      std::find_if(entries.begin(), entries.end(), [&](const auto& entry) { return entry.name == name; });
  if (found != entries.end()) return *found;
  throw base::Error(fmt::format("there is no schedule '{}'", base::printable(name)), "",
                    base::suggestion(name, names()));
}

std::optional<Refusal> refusal(const std::string& name, const Shape& shape) {
  const CatalogueEntry& entry = catalogue_entry(name);
  if (auto out = out_of_range(name, shape.ranks == 1 ? "rank" : "ranks", shape.ranks, most_ranks)) return out;
  if (auto out = out_of_range(name, "micro-batches", shape.micro_batches, most_micro_batches)) return out;
  if (auto out = refused_chunks(entry, shape.chunks)) return out;
  const Shape chosen = filled(entry, shape);
  if (1LL * chosen.ranks * chosen.micro_batches * chosen.chunks > most_blocks) {
    return Refusal{fmt::format("{} with {} ranks, {} chunks a rank and {} micro-batches is too large", name,
                               chosen.ranks, chosen.chunks, chosen.micro_batches),
                   fmt::format("ranks x chunks x micro-batches may be at most {}", most_blocks)};
  }
  const std::string broken = entry.rule == nullptr ? "" : entry.rule(chosen);
  if (broken.empty()) return {};
  return Refusal{name + " " + broken, ""};
}

int stage_count(const std::string& name, const Shape& shape) {
  const CatalogueEntry& entry = catalogue_entry(name);
  return shape.ranks * filled(entry, shape).chunks / entry.parameter_copies;
}

Traits traits(const std::string& name, int chunks) {
  const CatalogueEntry& entry = catalogue_entry(name);
  const int held = chunks > 0 ? chunks : entry.default_chunks;
  return {held / entry.parameter_copies, entry.parameter_copies, entry.pairs, entry.fused};
}

Schedule generate(const std::string& name, const Shape& shape) {
  const CatalogueEntry& entry = catalogue_entry(name);
  if (const auto refused = refusal(name, shape)) throw base::Error(refused->what, "", refused->fix);
  return entry.generator(filled(entry, shape));
}

}  // namespace hourglass::schedules
