#pragma once

#include <cstddef>
#include <cstdint>

// The three passes over a layer. Every room means these: operators of a layer have a pass, an action of a schedule makes
// and needs the results of passes, kernels are run and measured for one. What is really different stays apart:
// schedules::Kind is what a rank does as one action, which may be two passes fused (BW) or passes of two micro-batches
// side by side (F&BW).
namespace hourglass::base {

enum class Pass : std::uint8_t {
  forward,         // F
  backward_input,  // B: the gradient of the input
  backward_weight  // W: the gradient of the weights
};

constexpr const char* letter(Pass pass) {
  constexpr const char* of_pass[] = {"F", "B", "W"};
  return of_pass[static_cast<std::size_t>(pass)];
}

}  // namespace hourglass::base
