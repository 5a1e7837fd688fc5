#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "planner/search/space.h"

// Which plan for this model on these GPUs? Every legal one of a space, simulated.
namespace hourglass::planner {

struct SearchOptions {
  SpaceOptions space;
  double memory_headroom = 0.0;      // share of a GPU's memory that a plan must leave free, 0 to 1
  double max_days = 0.0;             // the plan's training stages must end in this; 0: no limit
  std::vector<std::string> why_not;  // "pp=8": explain why not
  bool bound = true;                 // else every plan that fits is simulated
};

// A simulated plan that fits.
struct SearchPoint {
  std::uint64_t id = 0;
  base::Time step = 0;
  double peak_memory_bytes = 0.0;
};

// What became of the plans of one unit of work: the unit's price keys under every pipeline and schedule.
struct UnitResult {
  std::uint64_t unit = 0;
  std::uint64_t plans = 0;      // of the space
  std::uint64_t illegal = 0;    // break a rule of divisibility or of their schedule
  std::uint64_t too_large = 0;  // do not fit into memory
  std::uint64_t bounded = 0;    // cannot beat a plan that is known
  std::uint64_t simulated = 0;
  std::vector<SearchPoint> points;  // simulated and fit, by id
};

// What a plan costs, in the four quantities of the front.
struct Measures {
  double seconds_per_token = 0.0;
  double peak_memory_bytes = 0.0;
  double gpus = 0.0;
  double cost_per_token = 0.0;  // USD, or GPU-seconds where a cluster has no price
};

struct Explanation {
  SearchChoice choice;
  std::string differs;  // "pp=8"
  std::string refused;  // why it cannot run; "" if it can
  base::Time step = 0;  // 0: not simulated
  double peak_memory_bytes = 0.0;
};

// "Why not pp=8?": the best plan with that value, if there is one.
struct WhyNot {
  std::string question;
  std::optional<Explanation> best;
  std::uint64_t plans = 0, illegal = 0, too_large = 0;
};

struct SearchResult {
  std::uint64_t plans = 0, illegal = 0, too_large = 0, bounded = 0, simulated = 0, too_slow = 0;
  std::vector<SearchPoint> front;  // of time, memory, GPUs and cost; fastest first: nothing else is better in all
  // The cheapest plans, simulated whole: with what the sweep leaves out. The first is the best.
  struct Finalist {
    SearchPoint point;
    double step_time_s = 0.0;
  };
  std::vector<Finalist> finalists;
  std::vector<Explanation> neighbours;  // of the best, one value changed
  std::vector<WhyNot> why_not;
  std::vector<std::int64_t> layers_per_stage;  // of the best
  double training_tokens = 0.0;                // of the plan's stages; 0: it has none
};

struct SearchEngine;  // planner/search/search_engine.h

class Search {
 public:
  Search(Space space, const SearchOptions& options);
  ~Search();
  Search(const Search&) = delete;
  Search& operator=(const Search&) = delete;

  const Space& space() const { return space_; }
  std::uint64_t units() const;
  // Identifies the search: inputs, space, options and program.
  std::string digest() const;
  // Runs units in parallel; `done` is called once for each, by one thread at a time. Same results for any number of
  // threads and any choice of units.
  void run(const std::vector<std::uint64_t>& units, const std::function<void(UnitResult)>& done);
  // From the results of all units, or of some.
  SearchResult conclude(std::vector<UnitResult> results) const;

  Measures measures(const SearchPoint& point) const;
  Explanation explain(const SearchChoice& choice) const;
  // The plan's inputs, completed. Without contention.
  sim::Inputs inputs_of(const SearchChoice& choice) const;
  double days(const SearchPoint& point) const;  // for training_tokens()
  double training_tokens() const;
  double memory_limit_bytes(const sim::Inputs& inputs) const;

 private:
  void find_seeds();
  std::vector<SearchPoint> front_of(std::vector<SearchPoint> points) const;
  std::vector<SearchPoint> cheapest(std::vector<SearchPoint> points, std::size_t count) const;
  std::vector<SearchResult::Finalist> finals(const std::vector<SearchPoint>& points) const;
  WhyNot answer(const std::string& question) const;

  Space space_;
  SearchOptions options_;
  bool priced_ = true;           // every cluster has a price
  bool contention_ = false;      // finalists are simulated with it
  std::vector<Measures> seeds_;  // a front known beforehand, fastest first
  std::unique_ptr<SearchEngine> engine_;
};

// All of it in this process.
SearchResult search(const sim::Inputs& inputs, const SearchOptions& options);

}  // namespace hourglass::planner
