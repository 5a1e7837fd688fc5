// One grammar of cells serves all formats. Ours is "F12@7" (kind, micro-batch, stage) and "F12@0&BW3@7" for a pair;
// PyTorch's is "7F12" (stage, type, micro-batch) and "(0F12;7B3)OVERLAP_F_B". PyTorch's own parser accepts any prefix
// that matches ("0F0x"); this one wants the whole cell.
//
// What a file leaves out is derived: the placement from where each stage's micro-batches run, two directions if the
// second half of the micro-batches runs a stage on another rank than the first.
#include "schedules/formats.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "schedules/letters.h"

namespace hourglass::schedules {

namespace {

using base::Error;

constexpr std::size_t largest_file = std::size_t{64} << 20;
constexpr int largest_number = 1'000'000;
constexpr std::size_t most_listed_ranks = 4096;
constexpr std::size_t most_cells = 50'000'000;  // stages x micro-batches

// Reads from the front of a cell; every step fails softly, the caller names the cell.
class Cell {
 public:
  explicit Cell(std::string_view text) : text_(text) {}
  bool literal(std::string_view expected) {
    if (!text_.starts_with(expected)) return false;
    text_.remove_prefix(expected.size());
    return true;
  }
  std::optional<std::int32_t> number() {
    std::int32_t value = 0;
    const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
    if (error != std::errc() || value < 0 || value > largest_number || text_.front() == '-') return std::nullopt;
    text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
    return value;
  }
  bool done() const { return text_.empty(); }

 private:
  std::string_view text_;
};

struct Part {
  Kind kind = Kind::forward;
  std::int32_t stage = 0, micro_batch = 0;
};

std::optional<Action> pair_of(const std::optional<Part>& forward, const std::optional<Part>& backward) {
  if (!forward || !backward || forward->kind != Kind::forward || backward->kind != Kind::backward) return std::nullopt;
  return Action{Kind::overlapped, forward->stage, forward->micro_batch, backward->stage, backward->micro_batch};
}

std::optional<Part> our_part(Cell& cell) {
  Part part;
  if (cell.literal("BW"))
    part.kind = Kind::backward;
  else if (cell.literal("F"))
    part.kind = Kind::forward;
  else if (cell.literal("B"))
    part.kind = Kind::backward_input;
  else if (cell.literal("W"))
    part.kind = Kind::backward_weight;
  else
    return std::nullopt;
  const auto micro_batch = cell.number();
  if (!micro_batch || !cell.literal("@")) return std::nullopt;
  const auto stage = cell.number();
  if (!stage) return std::nullopt;
  part.micro_batch = *micro_batch;
  part.stage = *stage;
  return part;
}

std::optional<Action> our_action(std::string_view text) {
  Cell cell(text);
  const auto first = our_part(cell);
  if (first && cell.literal("&")) {
    const auto action = pair_of(first, our_part(cell));
    return cell.done() ? action : std::nullopt;
  }
  if (!first || !cell.done()) return std::nullopt;
  return Action{first->kind, first->stage, first->micro_batch, -1, -1};
}

std::optional<Part> pytorch_part(Cell& cell) {
  const auto stage = cell.number();
  if (!stage) return std::nullopt;
  Part part{Kind::forward, *stage, 0};
  if (cell.literal("F"))
    part.kind = Kind::forward;
  else if (cell.literal("I"))
    part.kind = Kind::backward_input;
  else if (cell.literal("W"))
    part.kind = Kind::backward_weight;
  else if (cell.literal("B"))
    part.kind = Kind::backward;
  else
    return std::nullopt;
  const auto micro_batch = cell.number();
  if (!micro_batch) return std::nullopt;
  part.micro_batch = *micro_batch;
  return part;
}

std::optional<Action> pytorch_action(std::string_view text) {
  Cell cell(text);
  if (cell.literal("(")) {
    const auto forward = pytorch_part(cell);
    if (!cell.literal(";")) return std::nullopt;
    const auto action = pair_of(forward, pytorch_part(cell));
    return cell.literal(")OVERLAP_F_B") && cell.done() ? action : std::nullopt;
  }
  const auto part = pytorch_part(cell);
  if (!part || !cell.done()) return std::nullopt;
  return Action{part->kind, part->stage, part->micro_batch, -1, -1};
}

std::string pytorch_cell(const Action& a) {
  const auto part = [](char type, int stage, int micro_batch) {
    return fmt::format("{}{}{}", stage, type, micro_batch);
  };
  switch (a.kind) {
    case Kind::forward:
      return part('F', a.stage, a.micro_batch);
    case Kind::backward_input:
      return part('I', a.stage, a.micro_batch);
    case Kind::backward_weight:
      return part('W', a.stage, a.micro_batch);
    case Kind::backward:
      return part('B', a.stage, a.micro_batch);
    case Kind::overlapped:
      return fmt::format("({};{})OVERLAP_F_B", part('F', a.stage, a.micro_batch),
                         part('B', a.backward_stage, a.backward_micro_batch));
  }
  return "";
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// Lines without their ends; an empty last line is the end of the one before.
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines = split(text, '\n');
  if (lines.back().empty()) lines.pop_back();
  for (std::string_view& line : lines) {
    if (line.ends_with('\r')) line.remove_suffix(1);
  }
  return lines;
}

std::string_view stripped(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// Calls visit(stage, micro_batch, rank) for both halves of every action.
template <class Visitor>
void for_each_part(const Schedule& schedule, const Visitor& visit) {
  for (std::size_t r = 0; r < schedule.actions.size(); ++r) {
    for (const Action& a : schedule.actions[r]) {
      visit(a.stage, a.micro_batch, static_cast<int>(r));
      if (a.kind == Kind::overlapped) visit(a.backward_stage, a.backward_micro_batch, static_cast<int>(r));
    }
  }
}

// Fills in counts and placement of a schedule that has only its actions.
void derive_placement(Schedule& schedule, const std::string& file) {
  schedule.ranks = static_cast<int>(schedule.actions.size());
  if (schedule.actions.empty() || schedule.actions.size() > most_listed_ranks) {
    throw Error(fmt::format("a schedule of {} ranks", schedule.ranks), file,
                fmt::format("use 1 to {}", most_listed_ranks));
  }
  for_each_part(schedule, [&](int stage, int micro_batch, int) {
    schedule.stages = std::max(schedule.stages, stage + 1);
    schedule.micro_batches = std::max(schedule.micro_batches, micro_batch + 1);
  });
  if (schedule.stages == 0) throw Error("there is no action in it", file, "check that it is the right file");
  const auto stages = static_cast<std::size_t>(schedule.stages);
  if (stages * static_cast<std::size_t>(schedule.micro_batches) > most_cells) {
    throw Error(fmt::format("{} stages of {} micro-batches are too many", schedule.stages, schedule.micro_batches),
                file, "check its numbers");
  }
  constexpr int nowhere = -1;
  std::vector<std::vector<int>> halves(2, std::vector<int>(stages, nowhere));
  const auto conflict = [&](int stage, int rank, int other) {
    throw Error(fmt::format("stage {} is on rank {} and on rank {}", stage, other, rank), file,
                "a stage lives on one rank in each direction");
  };
  for_each_part(schedule, [&](int stage, int micro_batch, int rank) {
    int& place = halves[micro_batch < schedule.micro_batches / 2 ? 0 : 1][static_cast<std::size_t>(stage)];
    if (place != nowhere && place != rank) conflict(stage, rank, place);
    place = rank;
  });
  // One micro-batch has an empty first half.
  if (schedule.micro_batches == 1) halves[0] = halves[1];
  for (std::size_t half = 0; half < 2; ++half) {
    const auto missing = std::find(halves[half].begin(), halves[half].end(), nowhere);
    if (missing != halves[half].end()) {
      throw Error(fmt::format("stage {} has no action for a half of the micro-batches", missing - halves[half].begin()),
                  file, "add what is missing");
    }
  }
  schedule.directions = halves[0] == halves[1] ? 1 : 2;
  halves.resize(static_cast<std::size_t>(schedule.directions));
  schedule.placement = std::move(halves);
}

std::int32_t csv_number(std::string_view text, const std::string& where) {
  Cell cell(text);
  const auto value = text.empty() ? std::nullopt : cell.number();
  if (!value || !cell.done()) {
    throw Error(fmt::format("'{}' is not a number from 0 to {}", base::printable(text), largest_number), where,
                "correct it");
  }
  return *value;
}

constexpr std::string_view csv_heading = "rank,position,kind,stage,micro_batch,backward_stage,backward_micro_batch";

Action csv_action(const std::vector<std::string_view>& cells, const std::string& where) {
  static constexpr Kind kinds[] = {Kind::forward, Kind::backward_input, Kind::backward_weight, Kind::backward,
                                   Kind::overlapped};
  const auto kind =
      std::find_if(std::begin(kinds), std::end(kinds), [&](Kind each) { return letter(each) == cells[2]; });
  if (kind == std::end(kinds)) {
    throw Error(fmt::format("'{}' is no kind of action", base::printable(cells[2])), where,
                "the kinds are F, B, W, BW and F&B");
  }
  Action action{*kind, csv_number(cells[3], where), csv_number(cells[4], where), -1, -1};
  const bool pair = action.kind == Kind::overlapped;
  if (pair) {
    action.backward_stage = csv_number(cells[5], where);
    action.backward_micro_batch = csv_number(cells[6], where);
  } else if (!cells[5].empty() || !cells[6].empty()) {
    throw Error("only F&B has a backward stage and micro-batch", where, "leave the last two empty");
  }
  return action;
}

// PyTorch's 1F1B generator numbers the last rank's forwards 1..m where 0..m-1 is meant.
void check_upstream_fault(const Schedule& schedule, const std::string& file) {
  for (std::size_t r = 0; r < schedule.actions.size(); ++r) {
    std::vector<int> forwards, backwards;
    for (const Action& a : schedule.actions[r]) {
      if (a.kind == Kind::forward) forwards.push_back(a.micro_batch);
      if (a.kind == Kind::backward) backwards.push_back(a.micro_batch);
    }
    if (forwards.empty() || forwards.size() != backwards.size()) continue;
    const auto [first, last] = std::minmax_element(forwards.begin(), forwards.end());
    if (*first == 1 && *last == static_cast<int>(forwards.size()) &&
        *std::min_element(backwards.begin(), backwards.end()) == 0) {
      throw Error(fmt::format("row {} numbers its forwards from 1, its backwards from 0", r + 1), file,
                  "a known fault of PyTorch's 1F1B generator on its last rank; lower the forwards by one");
    }
  }
}

}  // namespace

std::string to_json(const Schedule& schedule) {
  base::Json document = {
      {"name", schedule.name},     {"ranks", schedule.ranks},           {"micro_batches", schedule.micro_batches},
      {"stages", schedule.stages}, {"directions", schedule.directions}, {"placement", schedule.placement}};
  base::Json actions = base::Json::array();
  for (const auto& rank : schedule.actions) {
    base::Json row = base::Json::array();
    for (const Action& action : rank) row.push_back(letters(action, true));
    actions.push_back(std::move(row));
  }
  document["actions"] = std::move(actions);
  return document.dump() + "\n";
}

Schedule from_json(std::string_view text, const std::string& file) {
  const base::Json document = base::parse_json(text, file, largest_file);
  base::Fields fields(document, file);
  Schedule schedule;
  schedule.name = base::printable(fields.text("name"));
  const auto ranks = fields.integer("ranks", 1, most_listed_ranks),
             micro_batches = fields.integer("micro_batches", 1, largest_number);
  const auto stages = fields.integer("stages", 1, largest_number), directions = fields.integer("directions", 1, 2);
  const base::Json& placement = fields.any("placement");
  const base::Json& actions = fields.any("actions");
  fields.finish();
  if (!actions.is_array()) fields.fail("actions", "is not a list of lists", "write one list of actions a rank");
  for (std::size_t r = 0; r < actions.size(); ++r) {
    auto& rank = schedule.actions.emplace_back();
    if (!actions[r].is_array())
      fields.fail("actions", fmt::format("row {} is not a list", r), "write one list of actions a rank");
    for (std::size_t i = 0; i < actions[r].size(); ++i) {
      const auto action =
          actions[r][i].is_string() ? our_action(actions[r][i].get_ref<const std::string&>()) : std::nullopt;
      if (!action) {
        throw Error(fmt::format("'{}' is not an action", base::printable(actions[r][i].dump())),
                    fmt::format("{} /actions/{}/{}", file, r, i), "write F12@7, B12@7, W12@7, BW12@7 or F12@0&BW3@7");
      }
      rank.push_back(*action);
    }
  }
  derive_placement(schedule, file);
  const auto agrees = [&](const char* key, std::int64_t stated, int derived) {
    if (stated != derived)
      fields.fail(key, fmt::format("says {}, the actions say {}", stated, derived), "correct one of the two");
  };
  agrees("ranks", ranks, schedule.ranks);
  agrees("micro_batches", micro_batches, schedule.micro_batches);
  agrees("stages", stages, schedule.stages);
  agrees("directions", directions, schedule.directions);
  if (placement != base::Json(schedule.placement))
    fields.fail("placement", "is not where the actions are", "correct one of the two");
  return schedule;
}

std::string to_csv(const Schedule& schedule) {
  std::string out = std::string(csv_heading) + "\n";
  for (std::size_t r = 0; r < schedule.actions.size(); ++r) {
    for (std::size_t i = 0; i < schedule.actions[r].size(); ++i) {
      const Action& a = schedule.actions[r][i];
      out += fmt::format("{},{},{},{},{}", r, i, letter(a.kind), a.stage, a.micro_batch);
      out += a.kind == Kind::overlapped ? fmt::format(",{},{}\n", a.backward_stage, a.backward_micro_batch) : ",,\n";
    }
  }
  return out;
}

Schedule from_csv(std::string_view text, const std::string& file) {
  const std::vector<std::string_view> lines = lines_of(text);
  if (lines.empty() || lines.front() != csv_heading) {
    throw Error("the first line is not the heading", file, fmt::format("it is {}", csv_heading));
  }
  Schedule schedule;
  schedule.name = "imported";
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::string where = fmt::format("{} line {}", file, i + 1);
    const std::vector<std::string_view> cells = split(lines[i], ',');
    if (cells.size() != 7) throw Error(fmt::format("{} columns instead of 7", cells.size()), where, "correct the line");
    const auto rank = static_cast<std::size_t>(csv_number(cells[0], where));
    const auto position = static_cast<std::size_t>(csv_number(cells[1], where));
    if (rank >= most_listed_ranks)
      throw Error(fmt::format("rank {} is too large", rank), where, fmt::format("use less than {}", most_listed_ranks));
    if (rank >= schedule.actions.size()) schedule.actions.resize(rank + 1);
    if (position != schedule.actions[rank].size()) {
      throw Error(
          fmt::format("position {} where {} comes next on rank {}", position, schedule.actions[rank].size(), rank),
          where, "list the actions of a rank in their order");
    }
    schedule.actions[rank].push_back(csv_action(cells, where));
  }
  derive_placement(schedule, file);
  return schedule;
}

std::string to_pytorch(const Schedule& schedule) {
  if (schedule.directions > 1) {
    throw Error(schedule.name + " runs in two directions, and PyTorch keeps a stage on one rank", "--format pytorch",
                "use dualpipev, or another placement");
  }
  std::string out;
  for (const auto& rank : schedule.actions) {
    std::string row;
    for (const Action& action : rank) {
      if (!row.empty()) row += ',';
      row += pytorch_cell(action);
    }
    out += row + "\n";
  }
  return out;
}

Schedule from_pytorch(std::string_view text, const std::string& file) {
  Schedule schedule;
  schedule.name = "imported";
  const std::vector<std::string_view> lines = lines_of(text);
  if (lines.size() > most_listed_ranks)
    throw Error(fmt::format("{} rows are too many ranks", lines.size()), file, "check that it is the right file");
  for (std::size_t r = 0; r < lines.size(); ++r) {
    auto& rank = schedule.actions.emplace_back();
    const std::vector<std::string_view> cells = split(lines[r], ',');
    for (std::size_t c = 0; c < cells.size(); ++c) {
      const std::string_view cell = stripped(cells[c]);
      if (cell.empty()) continue;  // idle
      const auto action = pytorch_action(cell);
      if (!action) {
        throw Error(fmt::format("'{}' is not an action", base::printable(cell)),
                    fmt::format("{} row {} column {}", file, r + 1, c + 1),
                    "write 3F0, 3I0, 3W0, 3B0 or (0F1;7B0)OVERLAP_F_B");
      }
      rank.push_back(*action);
    }
  }
  check_upstream_fault(schedule, file);
  derive_placement(schedule, file);
  for (std::size_t stage = 0; schedule.directions > 1 && stage < schedule.placement[0].size(); ++stage) {
    if (schedule.placement[0][stage] == schedule.placement[1][stage]) continue;
    throw Error(fmt::format("stage {} is on rank {} and on rank {}", stage, schedule.placement[0][stage],
                            schedule.placement[1][stage]),
                file, "PyTorch keeps a stage on one rank");
  }
  return schedule;
}

Schedule read_schedule(const std::string& path) {
  std::ifstream stream(path, std::ios::binary | std::ios::ate);
  if (!stream) throw Error("cannot be opened", path, "check the path");
  const auto size = static_cast<std::streamoff>(stream.tellg());
  if (size < 0 || static_cast<std::size_t>(size) > largest_file)
    throw Error("is a folder or larger than 64 MiB", path, "check that it is the right file");
  std::string text(static_cast<std::size_t>(size), '\0');
  stream.seekg(0);
  if (!stream.read(text.data(), size)) throw Error("cannot be read", path, "check that it is a file");
  if (stripped(text).starts_with('{')) return from_json(text, path);
  if (text.starts_with("rank,")) return from_csv(text, path);
  return from_pytorch(text, path);
}

}  // namespace hourglass::schedules
