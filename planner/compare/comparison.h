#pragma once

#include <optional>
#include <string>
#include <vector>

#include "schedules/closed_form.h"
#include "schedules/evaluate.h"
#include "schedules/schedule.h"
#include "sim/training/plan.h"
#include "sim/training/result.h"

// Schedules side by side: on abstract costs alone, or on a plan.
namespace hourglass::planner {

struct ComparedSchedule {
  std::string name;
  schedules::Schedule schedule;
  schedules::Evaluation evaluation;
  std::optional<schedules::ClosedForm> closed_form;
  double lower_bound = 0.0;
  std::optional<sim::Result> step;  // with a plan
};

struct RefusedSchedule {
  std::string name;
  std::string reason;
};

struct Comparison {
  std::string title;
  schedules::Costs costs;  // with a plan: milliseconds of an average rank, from its layers
  std::string unit;        // "" or "ms"
  std::vector<ComparedSchedule> schedules;
  std::vector<RefusedSchedule> refused;  // asked for, but cannot run this shape or breaks the memory cap
};

struct CompareOptions {
  std::vector<std::string> names;
  int chunks = 0;           // for the schedules that take a number of chunks
  double memory_cap = 0.0;  // peak activations in micro-batches (a plan: GiB a GPU); 0: none
};

// Throws base::Error for an unknown name or when no schedule can run.
Comparison compare(const schedules::Shape& shape, const schedules::Costs& costs, const CompareOptions& options);
Comparison compare(const sim::Inputs& inputs, const CompareOptions& options);

}  // namespace hourglass::planner
