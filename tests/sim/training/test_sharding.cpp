#include <doctest/doctest.h>

#include <random>

#include "base/error.h"
#include "sim/training/sharding.h"
#include "sim/training/simulate.h"

using namespace hourglass;
using sim::Event;
using sim::Move;
using sim::Sharding;

namespace {

constexpr auto reduce_scatter = Move::Kind::reduce_scatter, all_reduce = Move::Kind::all_reduce,
               all_gather = Move::Kind::all_gather;

std::int64_t pick(std::mt19937_64& random, std::initializer_list<std::int64_t> values) {
  return values.begin()[random() % values.size()];
}

// An MoE on 2 GPUs of tensor, 2 of context and 8 of data parallelism; experts over 4, whole on each: 16 GPUs share the
// gradients of dense parameters and 8 those of experts.
constexpr model::Parallelism layout{2, 2, 4, 1, 1, 8};
constexpr model::ParameterCount held{1e6, 3e6};

struct Layout {
  model::Parallelism parallel;
  model::ParameterCount whole, of_rank;  // of_rank: one GPU's share of an even pipeline
  int copies = 1;
  std::int64_t gpus = 0;
};
// `replicas` divides both groups.
Layout random_layout(std::mt19937_64& random, std::int64_t replicas) {
  Layout out;
  model::Parallelism& p = out.parallel;
  p.tensor = pick(random, {1, 2, 4});
  p.context = pick(random, {1, 2});
  p.pipeline = pick(random, {2, 4, 16});
  p.expert_tensor = pick(random, {1, p.tensor});
  p.expert = pick(random, {1, 8, 32});
  p.data = p.expert * pick(random, {1, 2, 3, 16}) * replicas;
  out.copies = static_cast<int>(pick(random, {1, 2}));
  out.gpus = p.tensor * p.context * p.pipeline * p.data;
  out.whole = {static_cast<double>(random() % 1000000) * 1e4, static_cast<double>(random() % 1000000) * 1e5};
  const model::ParameterCount local = model::local_parameters(out.whole, p);
  const double part = static_cast<double>(out.copies) / static_cast<double>(p.pipeline);
  out.of_rank = {local.dense * part, local.expert * part};
  return out;
}

// Sent by one GPU in a step, over the pipeline's copies of its stages.
double bytes_sent(const Sharding& sharding, const Layout& of, std::int64_t micro_batches) {
  double sum = 0.0;
  for (const Move& move : sim::moves_of_step(sharding, of.parallel, of.of_rank, of.copies)) {
    const bool every_pass = move.when == Event::each_forward || move.when == Event::each_backward;
    sum += model::facts(sim::operator_of(move)).message_bytes * static_cast<double>(every_pass ? micro_batches : 1);
  }
  return sum;
}

void check_moves(const Sharding& sharding, const std::vector<Move>& expected) {
  const std::vector<Move> moves = sim::moves_of_step(sharding, layout, held, 1);
  REQUIRE(moves.size() == expected.size());
  for (std::size_t i = 0; i < moves.size(); ++i) {
    CAPTURE(i);
    CHECK(moves[i].kind == expected[i].kind);
    CHECK(moves[i].when == expected[i].when);
    CHECK(moves[i].bytes == expected[i].bytes);
    CHECK(moves[i].group == expected[i].group);
    CHECK(moves[i].ranks == expected[i].ranks);
    CHECK(moves[i].stride == expected[i].stride);
  }
}

void check_held(const Sharding& sharding, double parameters, double gradients, double optimizer) {
  const sim::StateBytes bytes = sim::bytes_held(sharding, layout, held, 1);
  CHECK(bytes.parameters == parameters);
  CHECK(bytes.gradients == gradients);
  CHECK(bytes.optimizer == optimizer);
}

constexpr auto dense = model::Group::data, expert = model::Group::expert_data;
constexpr double shards = 1e6 / 16 + 3e6 / 8;  // parameters of one GPU, of those of its group

}  // namespace

TEST_CASE("ZeRO-1 holds a shard of the optimizer states, reduces gradients and gathers parameters once a step") {
  check_held(sim::zero_1(), 4e6 * 2.0, 4e6 * 4.0, shards * 8.0);
  check_moves(sim::zero_1(), {{reduce_scatter, Event::step_end, 4e6, dense, 16, 1},
                              {all_gather, Event::step_end, 2e6, dense, 16, 1},
                              {reduce_scatter, Event::step_end, 12e6, expert, 8, 1},
                              {all_gather, Event::step_end, 6e6, expert, 8, 1}});
  const auto [of_dense, of_experts] = sim::updates(sim::zero_1(), layout, held, 1);
  CHECK(of_dense.parameters == 1e6 / 16);
  CHECK(of_experts.parameters == 3e6 / 8);
  CHECK(of_dense.read == 12.0);
  CHECK(of_dense.written == 10.0);
  CHECK(sim::checkpoint_bytes(sim::zero_1()) == 10.0);
}

TEST_CASE("the pipeline's copies of a stage share its gradients") {
  const std::vector<Move> moves = sim::moves_of_step(sim::zero_1(), layout, held, 2);
  CHECK(moves[0].ranks == 32);
  CHECK(moves[2].ranks == 16);
}

TEST_CASE("ZeRO-2 reduces gradients after every backward and keeps its shard of them") {
  check_held(sim::zero_2(), 4e6 * 2.0, shards * 4.0, shards * 8.0);
  check_moves(sim::zero_2(), {{reduce_scatter, Event::each_backward, 4e6, dense, 16, 1},
                              {all_gather, Event::step_end, 2e6, dense, 16, 1},
                              {reduce_scatter, Event::each_backward, 12e6, expert, 8, 1},
                              {all_gather, Event::step_end, 6e6, expert, 8, 1}});
}

TEST_CASE("ZeRO-3 keeps a shard of everything and gathers parameters before every pass") {
  check_held(sim::zero_3(), shards * 2.0, shards * 4.0, shards * 8.0);
  check_moves(sim::zero_3(), {{reduce_scatter, Event::each_backward, 4e6, dense, 16, 1},
                              {all_gather, Event::each_forward, 2e6, dense, 16, 1},
                              {all_gather, Event::each_backward, 2e6, dense, 16, 1},
                              {reduce_scatter, Event::each_backward, 12e6, expert, 8, 1},
                              {all_gather, Event::each_forward, 6e6, expert, 8, 1},
                              {all_gather, Event::each_backward, 6e6, expert, 8, 1}});
}

TEST_CASE("HSDP does so inside each of its parts, and averages shards over the parts once a step") {
  const double more = 1e6 / 4 + 3e6 / 2;
  check_held(sim::hsdp(4), more * 2.0, more * 4.0, more * 8.0);
  check_moves(sim::hsdp(4), {{reduce_scatter, Event::each_backward, 4e6, dense, 4, 1},
                             {all_reduce, Event::last_backward, 1e6, dense, 4, 4},
                             {all_gather, Event::each_forward, 2e6, dense, 4, 1},
                             {all_gather, Event::each_backward, 2e6, dense, 4, 1},
                             {reduce_scatter, Event::each_backward, 12e6, expert, 2, 1},
                             {all_reduce, Event::last_backward, 6e6, expert, 4, 2},
                             {all_gather, Event::each_forward, 6e6, expert, 2, 1},
                             {all_gather, Event::each_backward, 6e6, expert, 2, 1}});
  CHECK_THROWS_WITH_AS(sim::bytes_held(sim::hsdp(3), layout, held, 1),
                       doctest::Contains("16 GPUs with the same parameters do not form 3 equal parts"), base::Error);
}

TEST_CASE("plain data parallelism, and an optimizer split wider than the parameters, are values too") {
  Sharding plain = sim::zero_1();
  plain.optimizer.split = sim::Split::none;
  check_moves(plain,
              {{all_reduce, Event::step_end, 4e6, dense, 16, 1}, {all_reduce, Event::step_end, 12e6, expert, 8, 1}});
  Sharding wider = sim::hsdp(4);
  wider.optimizer.split = sim::Split::group;
  const std::vector<Move> moves = sim::moves_of_step(wider, layout, held, 1);
  REQUIRE(moves.size() == 10);
  CHECK(moves[1].kind == reduce_scatter);
  CHECK(moves[1].stride == 4);
  CHECK(moves[2].kind == all_gather);
  CHECK(moves[2].bytes == 2e6 / 4);
  CHECK(moves[2].ranks == 4);
}

TEST_CASE("on random layouts, the more is split the less is held, and the shards of all GPUs add up to the whole") {
  std::mt19937_64 random(11);
  for (int i = 0; i < 300; ++i) {
    const std::int64_t replicas = pick(random, {1, 2, 8});
    const Layout each = random_layout(random, replicas);
    const auto bytes = [&](const Sharding& sharding) {
      return sim::bytes_held(sharding, each.parallel, each.of_rank, each.copies);
    };
    const sim::StateBytes one = bytes(sim::zero_1()), two = bytes(sim::zero_2()), three = bytes(sim::zero_3()),
                          parts = bytes(sim::hsdp(replicas));
    CHECK(two.total() <= one.total());
    CHECK(three.total() <= two.total());
    CHECK(three.total() <= parts.total());
    const auto gpus = static_cast<double>(each.gpus), whole = each.whole.total();
    CHECK(one.optimizer * gpus == doctest::Approx(whole * 8.0).epsilon(1e-12));
    CHECK(two.gradients * gpus == doctest::Approx(whole * 4.0).epsilon(1e-12));
    CHECK(three.total() * gpus == doctest::Approx(whole * 14.0).epsilon(1e-12));
    CHECK(parts.total() * gpus == doctest::Approx(whole * 14.0 * static_cast<double>(replicas)).epsilon(1e-12));
  }
}

TEST_CASE("ZeRO-3 sends half as much again as ZeRO-1 (Rajbhandari et al. 2020, section 7)") {
  std::mt19937_64 random(12);
  for (int i = 0; i < 100; ++i) {
    const Layout each = random_layout(random, 1);
    // The paper's gradients are 16-bit, and its step is one micro-batch.
    Sharding one = sim::zero_1(), two = sim::zero_2(), three = sim::zero_3();
    for (Sharding* sharding : {&one, &two, &three}) sharding->gradients.bytes = sharding->parameters.bytes;
    CHECK(bytes_sent(two, each, 1) == doctest::Approx(bytes_sent(one, each, 1)).epsilon(1e-12));
    CHECK(bytes_sent(three, each, 1) == doctest::Approx(1.5 * bytes_sent(one, each, 1)).epsilon(1e-12));
    CHECK(bytes_sent(sim::zero_3(), each, 8) ==
          doctest::Approx(8.0 * bytes_sent(sim::zero_3(), each, 1)).epsilon(1e-12));
  }
}

TEST_CASE("HSDP of one part is ZeRO-3") {
  std::mt19937_64 random(13);
  for (int i = 0; i < 100; ++i) {
    const Layout each = random_layout(random, 1);
    const auto held_by = [&](const Sharding& s) {
      return sim::bytes_held(s, each.parallel, each.of_rank, each.copies).total();
    };
    CHECK(held_by(sim::hsdp(1)) == held_by(sim::zero_3()));
    CHECK(bytes_sent(sim::hsdp(1), each, 3) == bytes_sent(sim::zero_3(), each, 3));
  }
}

TEST_CASE("a plan is ZeRO-1, its moves where the overlap_ keys put them; what is not simulated is refused") {
  const std::string file = std::string(HOURGLASS_SOURCE_DIR) + "/configs/plans/deepseek-v3.json";
  const sim::Inputs inputs = sim::load_inputs(file, {});
  CHECK(inputs.plan.sharding().moves_at_step_end());
  const sim::Inputs early =
      sim::load_inputs(file, {"plan.overlap_gradient_reduce=true", "plan.overlap_parameter_gather=true"});
  CHECK(early.plan.sharding().gradients.moves.has(Event::last_backward));
  CHECK(early.plan.sharding().parameters.moves.has(Event::first_forward));
  CHECK(early.plan.sharding().moves_at_step_end() == false);
  const auto refused = [&](const Sharding& states, const char* what) {
    sim::Inputs other = inputs;
    other.plan.states = states;
    CHECK_THROWS_WITH_AS(sim::simulate(other), doctest::Contains(what), base::Error);
  };
  refused(sim::zero_2(), "gradients are reduced with every micro-batch, which is not simulated yet");
  refused(sim::zero_3(), "with every micro-batch, which is not simulated yet");
  refused(sim::hsdp(2), "with every micro-batch, which is not simulated yet");
  Sharding parts = sim::zero_1();
  parts.replicas = 2;
  parts.optimizer.split = sim::Split::part;
  refused(parts, "parts of a data-parallel group exchange what they hold");
}
