#include "reports/causes.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "reports/table.h"

namespace hourglass::reports {

namespace {

std::string fixed(double value) { return fmt::format("{:.3f}", value); }

std::string words(sim::WorkClass cls) {
  std::string name = model::name_of(cls);
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

std::string path_lines(const sim::Result& result) {
  std::vector<std::pair<double, sim::WorkClass>> classes;
  for (std::size_t c = 0; c < sim::work_classes; ++c)
    classes.push_back({result.critical_path.seconds[c], static_cast<sim::WorkClass>(c)});
  std::stable_sort(classes.begin(), classes.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  const auto& ranks = result.critical_path.rank_seconds;
  const auto most = std::max_element(ranks.begin(), ranks.end());
  std::string out =
      fmt::format("\n  critical path: {} tasks, {} of its time on rank {}; what the step's length is made of\n",
                  result.critical_path.tasks, percent(*most / result.step_time_s), most - ranks.begin());
  for (const auto& [seconds, cls] : classes) {
    if (seconds >= 0.0005 * result.step_time_s)
      out += fmt::format("    {:<15} {:>8.3f} s  {:>6}\n", words(cls), seconds, percent(seconds / result.step_time_s));
  }
  return out;
}

}  // namespace

std::string causes_text(const sim::Result& result) {
  std::string out = path_lines(result);
  Table table({"rank", "bubble", "dependency", "imbalance", "exposed comm", "skew", "p2p", "update",
               "| in blocks: RDMA", "NVLink", "peer wait"});
  for (const sim::RankResult& rank : result.ranks) {
    const sim::IdleCauses& idle = rank.idle;
    table.add({std::to_string(rank.pipeline_rank), fixed(rank.bubble_s), fixed(idle.dependency_s),
               fixed(idle.imbalance_s), fixed(idle.exposed_communication_s), fixed(idle.skew_s),
               fixed(idle.point_to_point_s), fixed(idle.update_s), fixed(rank.exposed.rdma_s),
               fixed(rank.exposed.nvlink_s), fixed(rank.exposed.peer_wait_s)});
  }
  return out +
         "\n  why each rank waits (seconds of its bubble), and communication that no computation hides, by tier\n" +
         table.text();
}

base::Json critical_path_json(const sim::CriticalPath& path) {
  base::Json classes = base::Json::object();
  for (std::size_t c = 0; c < sim::work_classes; ++c)
    classes[std::string(model::name_of(static_cast<sim::WorkClass>(c))) + "_s"] = path.seconds[c];
  return {{"tasks", path.tasks}, {"classes", std::move(classes)}, {"rank_s", path.rank_seconds}};
}

base::Json idle_json(const sim::IdleCauses& idle) {
  return {{"dependency_s", idle.dependency_s},
          {"imbalance_s", idle.imbalance_s},
          {"exposed_communication_s", idle.exposed_communication_s},
          {"skew_s", idle.skew_s},
          {"point_to_point_s", idle.point_to_point_s},
          {"update_s", idle.update_s}};
}

base::Json exposed_json(const sim::ExposedTiers& exposed) {
  return {{"rdma_s", exposed.rdma_s}, {"nvlink_s", exposed.nvlink_s}, {"peer_wait_s", exposed.peer_wait_s}};
}

}  // namespace hourglass::reports
