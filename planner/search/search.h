#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "planner/search/search_result.h"
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
