#pragma once

#include <cstdint>

// SI inside, units in the key outside. Only readers convert in, only renderers convert out.
namespace hourglass::base {

// Simulated time in the engine: integer picoseconds, so that sums are exact and results repeat bit for bit.
// The range is +-106 days, far above any training step.
using Time = std::int64_t;

inline constexpr double kilo = 1e3;
inline constexpr double mega = 1e6;
inline constexpr double giga = 1e9;
inline constexpr double tera = 1e12;
inline constexpr double micro = 1e-6;
inline constexpr double pico = 1e-12;
inline constexpr double gibi = 1024.0 * 1024.0 * 1024.0;

inline constexpr double seconds_per_hour = 3600.0;
inline constexpr double seconds_per_day = 86400.0;

// Nearest picosecond. Throws Error for NaN, negative or more than 100 days.
Time time_from_seconds(double seconds);

constexpr double seconds(Time time) { return static_cast<double>(time) * 1e-12; }

}  // namespace hourglass::base
