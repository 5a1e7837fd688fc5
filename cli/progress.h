#pragma once

#include <chrono>
#include <string>

#include "sim/engine/contention.h"

namespace hourglass::cli {

// A line on stderr that says how far a long run is and how long it will take; nothing where stderr is no terminal.
// While it lives, SIGINT ends the run in order: the callback answers false, and the run throws base::Error.
class ProgressLine {
 public:
  explicit ProgressLine(std::string what);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // `done` from 0 to 1. False: the user wants to stop.
  bool show(double done, const std::string& detail = "");
  sim::Progress callback();

 private:
  std::string what_;
  bool terminal_;
  std::chrono::steady_clock::time_point began_;
};

}  // namespace hourglass::cli
