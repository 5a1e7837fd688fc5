#include <doctest/doctest.h>

#include <algorithm>

#include "schedules/catalogue.h"
#include "schedules/validate.h"

using namespace hourglass;
using schedules::Kind;
using schedules::Schedule;

namespace {

Schedule one_f_one_b() { return schedules::generate("1f1b", {4, 8, 0}); }

std::string fault(const Schedule& schedule, const schedules::ValidateOptions& options = {}) {
  try {
    schedules::validate(schedule, options);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

bool says(const std::string& message, const std::string& words) { return message.find(words) != std::string::npos; }

}  // namespace

TEST_CASE("work left out, done twice or on the wrong rank is named") {
  Schedule missing = one_f_one_b();
  missing.actions[2].pop_back();
  CHECK(says(fault(missing), "7"));
  Schedule twice = one_f_one_b();
  twice.actions[1].push_back(twice.actions[1].back());
  CHECK_FALSE(fault(twice).empty());
  Schedule misplaced = one_f_one_b();
  misplaced.actions[3].push_back({Kind::forward, 0, 0, -1, -1});
  CHECK_FALSE(fault(misplaced).empty());
  Schedule out_of_range = one_f_one_b();
  out_of_range.actions[0][0].micro_batch = 99;
  CHECK(says(fault(out_of_range), "99"));
}

TEST_CASE("a rank cannot run a backward before its forward") {
  Schedule schedule = one_f_one_b();
  std::swap(schedule.actions[3][0], schedule.actions[3][1]);
  CHECK_FALSE(fault(schedule).empty());
}

TEST_CASE("a deadlock says who waits for whom") {
  Schedule schedule = one_f_one_b();
  // The last rank takes micro-batch 7 first, which the first sends last, after gradients it waits for.
  auto& last = schedule.actions[3];
  std::rotate(last.begin(), last.end() - 2, last.end());
  const std::string message = fault(schedule);
  CHECK(says(message, "rank 3"));
  CHECK(says(message, "wait"));
  CHECK_FALSE(says(message, "\n"));
}

TEST_CASE("the cap is tight: p micro-batches pass, a little less does not") {
  CHECK(fault(one_f_one_b(), {4.0, 1.0, schedules::PointToPoint::asynchronous}).empty());
  CHECK(says(fault(one_f_one_b(), {3.99, 1.0, schedules::PointToPoint::asynchronous}), "rank 0"));
}

TEST_CASE("gpipe runs when sends block; what runs blocking also runs asynchronously") {
  CHECK(fault(schedules::generate("gpipe", {4, 8, 0}), {0.0, 1.0, schedules::PointToPoint::blocking}).empty());
  for (const std::string& name : schedules::names()) {
    CAPTURE(name);
    const Schedule schedule = schedules::generate(name, {4, 12, 0});
    if (fault(schedule, {0.0, 1.0, schedules::PointToPoint::blocking}).empty()) CHECK(fault(schedule).empty());
  }
}
