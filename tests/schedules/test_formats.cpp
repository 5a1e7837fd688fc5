#include <doctest/doctest.h>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "schedules/catalogue.h"
#include "schedules/formats.h"
#include "schedules/svg.h"
#include "schedules/validate.h"

using namespace hourglass;
using schedules::Schedule;

namespace {

// Every schedule at a shape that all of them can run.
std::vector<Schedule> every_schedule() {
  std::vector<Schedule> all;
  for (const std::string& name : schedules::names()) all.push_back(schedules::generate(name, {4, 12, 0}));
  return all;
}

bool same_work(const Schedule& a, const Schedule& b) {
  return a.ranks == b.ranks && a.micro_batches == b.micro_batches && a.stages == b.stages &&
         a.directions == b.directions && a.placement == b.placement && a.actions == b.actions;
}

std::string message_of(const std::string& text) {
  try {
    schedules::validate(schedules::from_pytorch(text, "file.csv"));
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("every schedule survives every format, and is still valid") {
  for (const Schedule& schedule : every_schedule()) {
    CAPTURE(schedule.name);
    const Schedule json = schedules::from_json(schedules::to_json(schedule), "j");
    CHECK(same_work(schedule, json));
    CHECK(json.name == schedule.name);
    const Schedule csv = schedules::from_csv(schedules::to_csv(schedule), "c");
    CHECK(same_work(schedule, csv));
    schedules::validate(csv);
    if (schedule.directions == 2) continue;
    CHECK(same_work(schedule, schedules::from_pytorch(schedules::to_pytorch(schedule), "p")));
  }
}

TEST_CASE("PyTorch's cells are written as its parser reads them") {
  CHECK(schedules::to_pytorch(schedules::generate("1f1b", {2, 2, 0})) == "0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n");
  CHECK(schedules::to_pytorch(schedules::generate("zb-h1", {1, 1, 0})) == "0F0,0I0,0W0\n");
}

TEST_CASE("what PyTorch cannot express is refused, with the alternative") {
  CHECK_THROWS_WITH_AS(schedules::to_pytorch(schedules::generate("dualpipe", {4, 8, 0})),
                       "--format pytorch: dualpipe runs in two directions, and PyTorch keeps a stage on one rank; use "
                       "dualpipev, or another placement",
                       base::Error);
}

TEST_CASE("idle cells, spaces, ragged rows and CRLF are fine in PyTorch's file") {
  const Schedule read = schedules::from_pytorch("0F0, 0F1 ,,0B0,0B1\r\n,1F0,1B0,1F1,1B1\r\n", "f");
  schedules::validate(read);
  CHECK(read.actions == schedules::generate("1f1b", {2, 2, 0}).actions);
}

TEST_CASE("the importer is strict where PyTorch's is lax") {
  CHECK(message_of("0F0x,0B0\n") ==
        "file.csv row 1 column 1: '0F0x' is not an action; write 3F0, 3I0, 3W0, 3B0 or (0F1;7B0)OVERLAP_F_B");
  CHECK(message_of("0F0,0B0,0f1\n").find("row 1 column 3") != std::string::npos);
  CHECK(message_of("-1F0\n").find("'-1F0'") != std::string::npos);
  CHECK(message_of("0F99999999999999999999\n").find("is not an action") != std::string::npos);
  CHECK(message_of("(0F1;0F0)OVERLAP_F_B\n").find("is not an action") != std::string::npos);
  CHECK(message_of("(0F1;0B0)OVERLAP_F_Bx\n").find("is not an action") != std::string::npos);
  CHECK(message_of("0F0,0B0\n0F1,0B1\n").find("stage 0") != std::string::npos);  // on two ranks
  CHECK(message_of("").find("0 ranks") != std::string::npos);
  CHECK(message_of(",,,\n").find("no action") != std::string::npos);
}

TEST_CASE("PyTorch's 1F1B generator numbers the last rank's forwards from 1: said by name") {
  CHECK(message_of("0F0,0F1,0B0,0B1\n1F1,1B0,1F2,1B1\n").find("known fault of PyTorch's 1F1B generator") !=
        std::string::npos);
}

TEST_CASE("an order that deadlocks across ranks is refused, though every row is complete") {
  // Rank 0 wants the gradient of micro-batch 1 first, rank 1 gives that of 0 first and waits for F1 that rank 0 holds
  // back.
  const std::string message = message_of("0F0,0B0,0F1,0B1\n1F1,1B1,1F0,1B0\n");
  CHECK(message.find("wait") != std::string::npos);
}

TEST_CASE("JSON that contradicts itself is refused") {
  const std::string good = schedules::to_json(schedules::generate("1f1b", {2, 4, 0}));
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  CHECK_THROWS_AS(schedules::from_json(with("\"ranks\":2", "\"ranks\":3"), "f"), base::Error);
  CHECK_THROWS_AS(schedules::from_json(with("[[0,1]]", "[[1,0]]"), "f"), base::Error);
  CHECK_THROWS_AS(schedules::from_json(with("\"F0@0\"", "\"F0@0 \""), "f"), base::Error);
  CHECK_THROWS_AS(schedules::from_json(with("\"F0@0\"", "17"), "f"), base::Error);
  CHECK_THROWS_AS(schedules::from_json(with("\"stages\"", "\"stage\""), "f"), base::Error);
}

TEST_CASE("CSV lines that do not fit are refused with their line") {
  const std::string heading = "rank,position,kind,stage,micro_batch,backward_stage,backward_micro_batch\n";
  const auto message = [&](const std::string& lines) {
    try {
      schedules::from_csv(heading + lines, "f.csv");
    } catch (const base::Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(message("0,0,F,0,0,\n").find("line 2") != std::string::npos);
  CHECK(message("0,1,F,0,0,,\n").find("position 1 where 0 comes next") != std::string::npos);
  CHECK(message("0,0,X,0,0,,\n").find("'X' is no kind") != std::string::npos);
  CHECK(message("0,0,F,0,0,1,1\n").find("only F&B") != std::string::npos);
  CHECK(message("0,0,F,zero,0,,\n").find("'zero'") != std::string::npos);
}

// Random bytes in the place of good ones never crash a reader: a clear error, or a schedule that validate() judges.
TEST_CASE("spoiled files are errors or schedules, never anything else") {
  base::Random random(11);
  const std::vector<Schedule> all = every_schedule();
  const std::string alphabet = "0123456789FIWB();,&@_OVERLAP\n\r \t\"[]{}:-.x\xff";
  using Reader = Schedule (*)(std::string_view, const std::string&);
  const auto spoil = [&](std::string text) {
    for (std::size_t edits = 1 + random.below(4); edits > 0 && !text.empty(); --edits) {
      const std::size_t at = random.below(text.size());
      switch (random.below(4)) {
        case 0:
          text[at] = alphabet[random.below(alphabet.size())];
          break;
        case 1:
          text.erase(at, 1 + random.below(12));
          break;
        case 2:
          text.insert(at, 1, alphabet[random.below(alphabet.size())]);
          break;
        default:
          text.insert(at, text.substr(random.below(text.size()), 1 + random.below(20)));
      }
    }
    return text;
  };
  int refused = 0, valid = 0;
  for (int round = 0; round < 6000; ++round) {
    const Schedule& schedule = all[random.below(all.size())];
    const std::uint64_t format = random.below(schedule.directions == 2 ? 2 : 3);
    const Reader reader = format == 0   ? schedules::from_json
                          : format == 1 ? schedules::from_csv
                                        : schedules::from_pytorch;
    const std::string text = spoil(format == 0   ? schedules::to_json(schedule)
                                   : format == 1 ? schedules::to_csv(schedule)
                                                 : schedules::to_pytorch(schedule));
    try {
      schedules::validate(reader(text, "f"));
      ++valid;
    } catch (const base::Error& error) {
      ++refused;
      REQUIRE(std::string(error.what()).find('\n') == std::string::npos);
    }
  }
  CHECK(refused > 4000);
  CHECK(valid > 0);
}

TEST_CASE("the drawing holds a box for every action and escapes its titles") {
  const Schedule schedule = schedules::generate("dualpipe", {4, 8, 0});
  const std::string svg = schedules::to_svg({{"a<b & \"c\"", &schedule, {}}});
  CHECK(svg.find("a&lt;b &amp; &quot;c&quot;") != std::string::npos);
  std::size_t pairs = 0, framed = 0;
  for (const auto& rank : schedule.actions) {
    for (const schedules::Action& action : rank) pairs += action.kind == schedules::Kind::overlapped ? 1 : 0;
  }
  for (std::size_t at = svg.find("class=\"p\""); at != std::string::npos; at = svg.find("class=\"p\"", at + 1))
    ++framed;
  CHECK(framed == pairs + 1);  // and one in the legend
  CHECK(svg.find("nan") == std::string::npos);
}
