#pragma once

#include <string>
#include <vector>

#include "planner/search/search_files.h"

// Message passing between the processes of a search, where Hourglass was built with MPI; alone elsewhere.
namespace hourglass::cli {

class Processes {
 public:
  // Joins the others if an MPI launcher started this process.
  Processes();
  ~Processes();
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  int rank() const { return rank_; }
  int count() const { return count_; }
  // The texts of all processes, by rank, on rank 0; elsewhere empty. Every process must call it.
  std::vector<std::string> gather(const std::string& text) const;

 private:
  int rank_ = 0, count_ = 1;
};

}  // namespace hourglass::cli
