#include "schedules/build.h"

#include <fmt/format.h>

namespace hourglass::schedules {

namespace {

Schedule empty(const std::string& name, const Shape& shape, int stages, int directions) {
  Schedule schedule{name, shape.ranks, shape.micro_batches, stages, directions, {}, {}};
  schedule.placement.assign(static_cast<std::size_t>(directions), std::vector<int>(static_cast<std::size_t>(stages)));
  schedule.actions.resize(static_cast<std::size_t>(shape.ranks));
  const std::size_t most =
      3 * static_cast<std::size_t>(stages / shape.ranks) * static_cast<std::size_t>(shape.micro_batches);
  for (std::vector<Action>& actions : schedule.actions) actions.reserve(most);
  return schedule;
}

}  // namespace

Schedule looped_placement(const std::string& name, const Shape& shape, int chunks) {
  Schedule schedule = empty(name, shape, shape.ranks * chunks, 1);
  for (int s = 0; s < schedule.stages; ++s) schedule.placement[0][static_cast<std::size_t>(s)] = s % shape.ranks;
  return schedule;
}

Schedule v_placement(const std::string& name, const Shape& shape) {
  const int p = shape.ranks;
  Schedule schedule = empty(name, shape, 2 * p, 1);
  for (int s = 0; s < 2 * p; ++s) schedule.placement[0][static_cast<std::size_t>(s)] = s < p ? s : 2 * p - 1 - s;
  return schedule;
}

Schedule bidirectional_placement(const std::string& name, const Shape& shape) {
  const int p = shape.ranks;
  Schedule schedule = empty(name, shape, p, 2);
  for (int s = 0; s < p; ++s) {
    schedule.placement[0][static_cast<std::size_t>(s)] = s;
    schedule.placement[1][static_cast<std::size_t>(s)] = p - 1 - s;
  }
  return schedule;
}

std::string too_few(const Shape& shape, int least, const std::string& formula) {
  if (shape.micro_batches >= least) return "";
  return fmt::format("needs at least {} = {} micro-batches; got {}", formula, least, shape.micro_batches);
}

std::string not_divisible(const Shape& shape) {
  if (shape.micro_batches % shape.ranks == 0) return "";
  return fmt::format("needs a number of micro-batches divisible by p = {}; got {}", shape.ranks, shape.micro_batches);
}

}  // namespace hourglass::schedules
