#pragma once

#include "base/fields.h"
#include "planner/compare/comparison.h"
#include "sim/training/record.h"

// Timelines for the HTML report's Gantt chart, small enough to carry in a page.
namespace hourglass::reports {

// {unit, name, directions, pipeline_ranks, micro_batches, makespan, ranks: [{actions: [flat]}]}; an action is eight
// numbers: kind, stage, micro-batch, the backward's stage and micro-batch (-1: none), start, duration, pattern (-1).
base::Json schedule_timeline(const schedules::Schedule& schedule, const schedules::Evaluation& evaluation,
                             const std::string& unit);

// The same of a simulated step in nanoseconds, and besides: names and classes of spans; `patterns`, each the spans
// inside an action as flat [lane, name, start from the action's, duration, ...]; of every rank `loose`, the spans
// outside actions (start from the step's), and `memory`, flat [time, bytes, ...].
base::Json step_timeline(const sim::StepRecord& record);

}  // namespace hourglass::reports
