#include "planner/search/axes.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "base/error.h"

namespace hourglass::planner {

namespace {

std::string text_of(std::int64_t value) { return std::to_string(value); }
std::string text_of(model::Precision value) { return precision_name(value); }
std::string text_of(const model::Recompute& value) {
  const std::vector<std::string> names = model::recompute_names(value);
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, "+"));
}
std::string text_of(const ScheduleChoice& value) {
  return value.name + (value.chunks > 0 ? fmt::format("-v{}", value.chunks) : "");
}

struct Axis {
  std::string name;
  std::vector<std::string> aliases;
  std::function<std::size_t(const Space&)> size;
  std::function<std::string(const Space&, std::size_t)> text;
  std::function<void(const Space&, std::size_t, SearchChoice&)> set;
  std::function<std::string(const Space&, const SearchChoice&)> value;
  std::function<bool(Space&, const std::vector<std::size_t>&)> keep;
  std::function<void(Space&, std::int64_t)> only;  // numbers; else empty
};

template <class T>
bool keep_items(std::vector<T>& values, const std::vector<std::size_t>& items) {
  std::vector<T> kept;
  for (const std::size_t i : items) kept.push_back(values[i]);
  values = std::move(kept);
  return !values.empty();
}

template <class T>
Axis axis(std::string name, std::vector<std::string> aliases, std::vector<T> Space::*values, T SearchChoice::*field) {
  Axis out;
  out.name = std::move(name);
  out.aliases = std::move(aliases);
  out.size = [=](const Space& s) { return (s.*values).size(); };
  out.text = [=](const Space& s, std::size_t i) { return text_of((s.*values)[i]); };
  out.set = [=](const Space& s, std::size_t i, SearchChoice& c) { c.*field = (s.*values)[i]; };
  out.value = [=](const Space&, const SearchChoice& c) { return text_of(c.*field); };
  out.keep = [=](Space& s, const std::vector<std::size_t>& items) { return keep_items(s.*values, items); };
  if constexpr (std::is_same_v<T, std::int64_t>) out.only = [=](Space& s, std::int64_t v) { s.*values = {v}; };
  return out;
}

Axis schedule_axis() {
  Axis out;
  out.name = "schedule";
  out.size = [](const Space& s) { return s.schedules.size(); };
  out.text = [](const Space& s, std::size_t i) { return text_of(s.schedules[i]); };
  out.set = [](const Space& s, std::size_t i, SearchChoice& c) {
    c.schedule = s.schedules[i].name;
    c.chunks = s.schedules[i].chunks;
  };
  out.value = [](const Space&, const SearchChoice& c) { return text_of(ScheduleChoice{c.schedule, c.chunks}); };
  out.keep = [](Space& s, const std::vector<std::size_t>& items) { return keep_items(s.schedules, items); };
  return out;
}

Axis cluster_axis() {
  Axis out;
  out.name = "cluster";
  out.size = [](const Space& s) { return s.clusters.size(); };
  out.text = [](const Space& s, std::size_t i) { return s.clusters[i].cluster.name; };
  out.set = [](const Space&, std::size_t i, SearchChoice& c) { c.cluster = i; };
  out.value = [](const Space& s, const SearchChoice& c) { return s.clusters[c.cluster].cluster.name; };
  out.keep = [](Space& s, const std::vector<std::size_t>& items) { return keep_items(s.clusters, items); };
  return out;
}

const std::vector<Axis>& axes() {
  static const std::vector<Axis> all = {
      schedule_axis(),
      axis("tp", {"tensor_parallel"}, &Space::tensors, &SearchChoice::tensor),
      axis("pp", {"pipeline_parallel"}, &Space::pipelines, &SearchChoice::pipeline),
      axis("cp", {"context_parallel"}, &Space::contexts, &SearchChoice::context),
      axis("ep", {"expert_parallel"}, &Space::experts, &SearchChoice::expert),
      axis("etp", {"expert_tensor_parallel"}, &Space::expert_tensors, &SearchChoice::expert_tensor),
      axis("mbs", {"micro_batch"}, &Space::micro_batches, &SearchChoice::micro_batch),
      axis("recompute", {}, &Space::recomputes, &SearchChoice::recompute),
      axis("precision", {}, &Space::precisions, &SearchChoice::precision),
      axis("sms", {"communication_sms"}, &Space::communication_sms, &SearchChoice::communication_sms),
      axis("gbs", {"global_batch"}, &Space::global_batches, &SearchChoice::global_batch),
      axis("gpus", {}, &Space::gpus, &SearchChoice::gpus),
      cluster_axis()};
  return all;
}

std::string plain_name(const Axis& axis, const std::string& text) {
  // A schedule's name alone stands for all its numbers of chunks.
  const std::size_t at = text.rfind("-v");
  const bool digits = at != std::string::npos && at + 2 < text.size() &&
                      std::all_of(text.begin() + static_cast<std::ptrdiff_t>(at) + 2, text.end(),
                                  [](unsigned char c) { return std::isdigit(c) != 0; });
  return axis.name == "schedule" && digits ? text.substr(0, at) : text;
}

void keep_chunks(Space& space, const std::string& value, const std::string& question) {
  std::vector<std::size_t> items;
  for (std::size_t i = 0; i < space.schedules.size(); ++i) {
    if (std::to_string(space.schedules[i].chunks) == value) items.push_back(i);
  }
  if (!keep_items(space.schedules, items))
    throw base::UsageError("no schedule of the search has that many chunks", "--why-not " + base::printable(question));
}

}  // namespace

const std::vector<std::string>& axis_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Axis& each : axes()) all.push_back(each.name);
    return all;
  }();
  return names;
}

std::string axis_value(const Space& space, const SearchChoice& choice, const std::string& name) {
  for (const Axis& each : axes()) {
    if (each.name == name) return each.value(space, choice);
  }
  return "";
}

std::vector<std::string> axis_values(const Space& space, const std::string& name) {
  std::vector<std::string> values;
  for (const Axis& each : axes()) {
    for (std::size_t i = 0; each.name == name && i < each.size(space); ++i) values.push_back(each.text(space, i));
  }
  return values;
}

std::vector<Neighbour> neighbours_of(const Space& space, const SearchChoice& choice) {
  std::vector<Neighbour> all;
  for (const Axis& each : axes()) {
    const std::string own = each.value(space, choice);
    for (std::size_t i = 0; i < each.size(space); ++i) {
      const std::string other = each.text(space, i);
      if (other == own) continue;
      Neighbour neighbour{choice, each.name + "=" + other};
      each.set(space, i, neighbour.choice);
      all.push_back(std::move(neighbour));
    }
  }
  return all;
}

Space restricted(const Space& space, const std::string& question) {
  const std::string where = "--why-not " + base::printable(question);
  const std::size_t equals = question.find('=');
  if (equals == std::string::npos) throw base::UsageError("has no value", where, "write for instance --why-not pp=8");
  const std::string name = question.substr(0, equals), value = question.substr(equals + 1);
  Space out = space;
  if (name == "vpp" || name == "chunks") {
    keep_chunks(out, value, question);
    return out;
  }
  for (const Axis& each : axes()) {
    if (each.name != name && std::find(each.aliases.begin(), each.aliases.end(), name) == each.aliases.end()) continue;
    std::vector<std::size_t> items;
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < each.size(space); ++i) {
      texts.push_back(each.text(space, i));
      if (texts.back() == value || plain_name(each, texts.back()) == value) items.push_back(i);
    }
    if (!items.empty()) {
      each.keep(out, items);
      return out;
    }
    const bool number = !value.empty() && value.size() < 10 &&
                        std::all_of(value.begin(), value.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
    if (!each.only || !number || std::stoll(value) == 0)
      throw base::UsageError("'" + base::printable(value) + "' is no value of " + name, where,
                             base::suggestion(value, texts));
    each.only(out, std::stoll(value));
    return out;
  }
  std::vector<std::string> names = axis_names();
  names.emplace_back("vpp");
  throw base::UsageError("there is no '" + base::printable(name) + "'", where, base::suggestion(name, names));
}

}  // namespace hourglass::planner
