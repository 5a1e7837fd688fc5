#include "base/units.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"

namespace hourglass::base {

Time time_from_seconds(double seconds) {
  constexpr double longest = 100.0 * seconds_per_day;
  if (!(seconds >= 0.0 && seconds <= longest)) {
    throw Error(fmt::format("a duration of {} s cannot be simulated", seconds), "",
                "one task takes between 0 and 100 days: look for a zero rate or an absurd size in the inputs");
  }
  return static_cast<Time>(std::llround(seconds * 1e12));
}

}  // namespace hourglass::base
