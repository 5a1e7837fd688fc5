// A step of 2048 GPUs is a hundred thousand spans, 15 MB as a Chrome trace. But a stage does the same for every
// micro-batch: what runs inside an action, relative to its start, is one of a few hundred patterns, each stored once. A
// step in which every action differs is only larger. Times are whole nanoseconds; start and end are rounded, never the
// duration, so that what touches in the simulation touches in the picture.
#include "reports/timeline.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/json.h"
#include "reports/span_names.h"

namespace hourglass::reports {

namespace {

using base::Json;

std::int64_t nanoseconds(base::Time time) { return (time + 500) / 1000; }

Json timeline_heading(const schedules::Schedule& schedule, const std::string& unit) {
  return {{"unit", unit},
          {"name", schedule.name},
          {"directions", schedule.directions},
          {"pipeline_ranks", schedule.ranks},
          {"micro_batches", schedule.micro_batches}};
}

void append_action(Json& flat, const schedules::Action& a) {
  for (const int number : {static_cast<int>(a.kind), a.stage, a.micro_batch, a.backward_stage, a.backward_micro_batch})
    flat.push_back(number);
}

// Seven significant digits: finer than any screen, and half the size.
double shortened_number(double value, double whole) {
  if (!(whole > 0.0)) return value;
  const double grain = std::pow(10.0, std::floor(std::log10(whole)) - 7.0);
  return std::round(value / grain) * grain;
}

// Numbers of names in the order of their first use.
class Names {
 public:
  int of(const std::string& name) {
    const auto [entry, fresh] = numbers_.emplace(name, static_cast<int>(all_.size()));
    if (fresh) all_.push_back(name);
    return entry->second;
  }
  const std::vector<std::string>& all() const { return all_; }

 private:
  std::map<std::string, int> numbers_;
  std::vector<std::string> all_;
};

// Writes rank after rank; names, classes and patterns are shared by all.
class StepWriter {
 public:
  explicit StepWriter(const sim::StepRecord& record) : record_(record) {}

  Json rank(int rank) {
    std::vector<const sim::Span*> spans, outer;
    for (const sim::Span& span : record_.spans) {
      if (span.rank == rank) (span.lane == sim::Lane::schedule ? outer : spans).push_back(&span);
    }
    std::stable_sort(spans.begin(), spans.end(), [](const auto* a, const auto* b) { return a->start < b->start; });
    Json actions = Json::array(), loose = Json::array();
    std::size_t first = 0;
    for (const sim::Span* action : outer) {
      append_action(actions, *record_.action_of(*action));
      const std::int64_t start = nanoseconds(action->start);
      actions.push_back(start);
      actions.push_back(nanoseconds(action->end) - start);
      // Actions of a rank do not overlap, so that what starts inside one belongs to it, messages apart.
      Json inside = Json::array();
      for (; first < spans.size() && spans[first]->start < action->end; ++first) {
        const sim::Span& span = *spans[first];
        const bool part = span.start >= action->start && span.lane != sim::Lane::point_to_point;
        append_span(part ? inside : loose, span, part ? action->start : 0);
      }
      actions.push_back(pattern(std::move(inside)));
    }
    for (; first < spans.size(); ++first) append_span(loose, *spans[first], 0);
    return {{"actions", std::move(actions)}, {"loose", std::move(loose)}, {"memory", memory(rank)}};
  }
  void finish(Json& out) {
    out["names"] = names_.all();
    out["classes"] = classes_;
    out["patterns"] = std::move(patterns_);
  }

 private:
  void append_span(Json& flat, const sim::Span& span, base::Time from) {
    const SpanName named = name_of(record_, span);
    const int name = names_.of(named.name);
    if (static_cast<std::size_t>(name) == classes_.size()) classes_.emplace_back(named.cls);
    const std::int64_t start = nanoseconds(span.start - from);
    flat.push_back(static_cast<int>(span.lane));
    flat.push_back(name);
    flat.push_back(start);
    flat.push_back(nanoseconds(span.end - from) - start);
  }
  int pattern(Json spans) {
    const auto [entry, fresh] = numbers_.emplace(spans.dump(), static_cast<int>(patterns_.size()));
    if (fresh) patterns_.push_back(std::move(spans));
    return entry->second;
  }
  Json memory(int rank) const {
    Json flat = Json::array();
    for (const sim::MemoryPoint& point : record_.memory) {
      if (point.rank != rank) continue;
      flat.push_back(nanoseconds(point.at));
      flat.push_back(std::llround(point.bytes));
    }
    return flat;
  }

  const sim::StepRecord& record_;
  Names names_;
  std::vector<std::string> classes_;
  std::map<std::string, int> numbers_;
  Json patterns_ = Json::array();
};

}  // namespace

Json schedule_timeline(const schedules::Schedule& schedule, const schedules::Evaluation& evaluation,
                       const std::string& unit) {
  Json out = timeline_heading(schedule, unit), ranks = Json::array();
  out["makespan"] = evaluation.makespan;
  for (std::size_t r = 0; r < schedule.actions.size(); ++r) {
    Json flat = Json::array();
    for (std::size_t i = 0; i < schedule.actions[r].size(); ++i) {
      const std::size_t at = evaluation.rank_begin[r] + i;
      const double start = shortened_number(evaluation.start[at], evaluation.makespan),
                   end = shortened_number(evaluation.end[at], evaluation.makespan);
      append_action(flat, schedule.actions[r][i]);
      flat.push_back(start);
      flat.push_back(shortened_number(end - start, evaluation.makespan));
      flat.push_back(-1);
    }
    ranks.push_back({{"actions", std::move(flat)}});
  }
  out["ranks"] = std::move(ranks);
  return out;
}

Json step_timeline(const sim::StepRecord& record) {
  Json out = timeline_heading(record.schedule, "ns"), ranks = Json::array();
  base::Time makespan = 0;
  for (const sim::Span& span : record.spans) makespan = std::max(makespan, span.end);
  out["makespan"] = nanoseconds(makespan);
  StepWriter writer(record);
  for (int rank = 0; rank < record.schedule.ranks; ++rank) ranks.push_back(writer.rank(rank));
  out["ranks"] = std::move(ranks);
  writer.finish(out);
  Json critical = Json::array();
  for (const sim::PathPiece& piece : record.critical) {
    critical.push_back(piece.rank);
    critical.push_back(nanoseconds(piece.start));
    critical.push_back(nanoseconds(piece.end) - nanoseconds(piece.start));
  }
  out["critical"] = std::move(critical);
  return out;
}

}  // namespace hourglass::reports
