#include "schedules/letters.h"

#include <fmt/format.h>

#include <array>

namespace hourglass::schedules {

std::string_view letter(Kind kind) {
  constexpr std::array<std::string_view, 5> of_kind{"F", "B", "W", "BW", "F&BW"};
  return of_kind[static_cast<std::size_t>(kind)];
}

std::string letters(const Action& action, bool with_stage) {
  const auto one = [&](Kind kind, int stage, int micro_batch) {
    return with_stage ? fmt::format("{}{}@{}", letter(kind), micro_batch, stage)
                      : fmt::format("{}{}", letter(kind), micro_batch);
  };
  if (action.kind != Kind::overlapped) return one(action.kind, action.stage, action.micro_batch);
  return one(Kind::forward, action.stage, action.micro_batch) + "&" +
         one(Kind::backward, action.backward_stage, action.backward_micro_batch);
}

std::string letters(const Schedule& schedule) {
  std::string text;
  const auto width = fmt::formatted_size("{}", schedule.ranks - 1);
  for (std::size_t rank = 0; rank < schedule.actions.size(); ++rank) {
    text += fmt::format("{:>{}}:", rank, width);
    for (const Action& action : schedule.actions[rank]) {
      text += ' ';
      text += letters(action, schedule.chunks() > 1);
    }
    text += '\n';
  }
  return text;
}

}  // namespace hourglass::schedules
