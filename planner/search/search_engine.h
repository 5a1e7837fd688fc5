#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "planner/search/search_result.h"
#include "planner/search/space.h"
#include "schedules/catalogue.h"
#include "sim/training/fast/step_bounds.h"

// The inner loop of a search: one unit of work at a time.
namespace hourglass::planner {

// Compiled schedules by shape, shared by threads.
class ProgramCache {
 public:
  // nullptr if the schedule cannot have this shape.
  std::shared_ptr<const sim::StepProgram> get(const ScheduleChoice& schedule, std::int64_t ranks,
                                              std::int64_t micro_batches);

 private:
  struct Entry {
    std::once_flag once;
    std::shared_ptr<const sim::StepProgram> program;
  };
  std::mutex mutex_;
  std::map<std::tuple<std::string, int, std::int64_t, std::int64_t>, std::shared_ptr<Entry>> entries_;
  std::size_t bytes_ = 0;
};

// What all plans on one cluster share.
struct ClusterTables {
  explicit ClusterTables(const sim::Inputs& inputs);
  sim::ContentTable contents;
  std::vector<model::ParameterCount> parameters;
  model::ParameterCount all;  // of the model without MTP
  bool fast = true;
};

// What all units share.
struct SearchEngine {
  // `space` must outlive it. `memory_headroom`: share of a GPU's memory that a plan must leave free.
  SearchEngine(const Space& space, double memory_headroom);
  double memory_limit_bytes(const sim::Inputs& inputs) const;

  const Space& space;
  double memory_headroom;
  std::vector<ClusterTables> clusters;    // of Space::clusters
  std::vector<schedules::Traits> traits;  // of Space::schedules
  ProgramCache programs;
};

inline constexpr std::uint64_t keys_per_unit = 16;
// Every plan of a unit. `seeds`: plans that are known, fastest first; `priced`: cost is money, else GPU-seconds.
UnitResult run_unit(SearchEngine& engine, const std::vector<Measures>& seeds, bool priced, std::uint64_t unit);
// Of a GPU and second, in USD; 1 where clusters have no price.
double cost_rate(const hardware::Cluster& cluster, bool priced);

// Whether the numbers of a plan go together: the layout's rules and the search's own two, without their words. Sets data
// parallelism.
bool legal(sim::Plan& plan, const sim::Inputs& inputs);
// With them.
std::vector<sim::Violation> search_violations(const sim::Plan& plan, const sim::Inputs& inputs);

// Bytes that the fullest GPU holds at least: parameters, gradients and optimizer averaged over the pipeline.
double least_memory(const sim::Inputs& inputs, const model::ParameterCount& all, int copies);

}  // namespace hourglass::planner
