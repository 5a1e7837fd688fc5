// Whole layers: every input and weight gradient against finite differences in double precision. The weight gradient is
// taken from what the input gradient left behind, after the weights have been overwritten: W must not need them.
#include <doctest/doctest.h>

#include "kernels/math/layer.h"
#include "tests/kernels/math/finite_difference.h"

using namespace hourglass;
using namespace hourglass::kernels;

namespace {

using Matrix = Tensor<double>;
constexpr Index hidden = 10, length = 5, tokens = 2 * length;

Matrix random(Index rows, Index columns, std::uint64_t seed) {
  base::Random generator(seed);
  return random_normal<double>(rows, columns, 1.0, generator);
}
Mla<double> mla() { return Mla<double>({length, hidden, 2, 3, 4, 3, 6, 5}); }
Gqa<double> gqa() { return Gqa<double>({length, hidden, 4, 2, 4}); }
Moe<double> moe() { return Moe<double>({hidden, 3, 4, {8, 2, 4, 2, 2.5}}); }
Layer<double> layer(AttentionBlock<double> attention, MlpBlock<double> mlp) { return {hidden, attention, mlp}; }

// Checks all of a set of weights and gradients against `loss`.
template <class Weights, class Loss>
void check_weights(Weights& weights, Weights& gradients, const Loss& loss) {
  NamedTensors<double> values, slopes;
  weights.list("", values);
  gradients.list("", slopes);
  REQUIRE(values.size() == slopes.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    CAPTURE(values[i].name);
    check_gradient(*values[i].tensor, *slopes[i].tensor, loss, 2e-6);
  }
}

template <class Block>
void check_block(const Block& block) {
  base::Random generator(7);
  auto w = block.random(generator);
  Matrix x = random(tokens, hidden, 1), dy = random(tokens, hidden, 2), y, dx;
  typename Block::Saved saved, scratch;
  block.forward(w, x, saved, y);
  block.input_gradient(w, dy, saved, dx);
  auto gradients = block.zeros();
  block.weight_gradient(x, dy, saved, gradients);
  const auto loss = [&] {
    block.forward(w, x, scratch, y);
    return dot(y, dy);
  };
  check_gradient(x, dx, loss);
  check_weights(w, gradients, loss);

  // Another micro-batch through the same memory gives what it gives alone, and W adds to what is there.
  const Matrix other = random(tokens, hidden, 3);
  typename Block::Saved fresh;
  auto once = block.zeros();
  for (auto* s : {&fresh, &saved}) {
    block.forward(w, other, *s, y);
    block.input_gradient(w, dy, *s, dx);
  }
  block.weight_gradient(other, dy, fresh, once);
  block.weight_gradient(other, dy, saved, gradients);
  auto first = block.zeros();
  block.forward(w, x, fresh, y);
  block.input_gradient(w, dy, fresh, dx);
  block.weight_gradient(x, dy, fresh, first);
  NamedTensors<double> sums, parts, firsts;
  gradients.list("", sums), once.list("", parts), first.list("", firsts);
  for (std::size_t i = 0; i < sums.size(); ++i)
    CHECK((*sums[i].tensor)(0, 0) == doctest::Approx((*parts[i].tensor)(0, 0) + (*firsts[i].tensor)(0, 0)));
}

}  // namespace

TEST_CASE("MLA block") { check_block(mla()); }
TEST_CASE("GQA block") { check_block(gqa()); }
TEST_CASE("dense SwiGLU MLP") { check_block(Mlp<double>({hidden, 7})); }
TEST_CASE("mixture of experts with router, grouped GEMMs and a shared expert") { check_block(moe()); }

TEST_CASE("MLA: causal, and the rotary key is shared by the heads") {
  base::Random generator(7);
  const auto block = mla();
  auto w = block.random(generator);
  Matrix x = random(tokens, hidden, 1), before, after;
  Mla<double>::Saved saved;
  block.forward(w, x, saved, before);
  CHECK(saved.k(3, 3) == saved.k(3, 7 + 3));  // head 0 and head 1: nope 3, then the rotary part
  CHECK(saved.k(3, 0) != saved.k(3, 7));
  x(length - 1, 0) += 1.0;  // the last token of the first sequence
  block.forward(w, x, saved, after);
  for (Index r = 0; r < tokens; ++r) CHECK((before(r, 0) == after(r, 0)) == (r != length - 1));
}

TEST_CASE("whole layers, with W after the weights are gone") {
  for (const auto& subject : {layer(mla(), moe()), layer(mla(), Mlp<double>({hidden, 7})), layer(gqa(), moe()),
                              layer(gqa(), Mlp<double>({hidden, 7}))}) {
    base::Random generator(11);
    auto w = subject.random(generator);
    const Matrix dy = random(tokens, hidden, 2);
    Layer<double>::Saved saved, scratch;
    Matrix x = random(tokens, hidden, 1), y, dx;
    saved.x = x, saved.dy = dy;
    subject.forward(w, saved, y);
    {
      auto lost = w;
      subject.input_gradient(lost, saved, dx);
      NamedTensors<double> all;
      lost.list("", all);
      for (const auto& named : all) named.tensor->fill(1e30);
    }
    auto gradients = subject.zeros();
    subject.weight_gradient(saved, gradients);
    const auto loss = [&] {
      scratch.x = x;
      subject.forward(w, scratch, y);
      return dot(y, dy);
    };
    check_gradient(x, dx, loss);
    check_weights(w, gradients, loss);
  }
}

TEST_CASE("output head and cross-entropy") {
  Matrix x = random(tokens, hidden, 1), norm = random(1, hidden, 2), table = random(13, hidden, 3), dx;
  Targets targets{{}, 0.1};
  for (Index r = 0; r < tokens; ++r) targets.tokens.push_back(static_cast<std::int32_t>(r * 5 % 13));
  Head<double>::Saved saved, scratch;
  CHECK(Head<double>::forward(norm, table, x, targets, saved) > 0.0);
  Head<double>::input_gradient(norm, table, x, targets, saved, dx);
  Matrix dnorm(1, hidden), dtable(13, hidden);
  Head<double>::weight_gradient(x, saved, dnorm, dtable);
  const auto loss = [&] { return Head<double>::forward(norm, table, x, targets, scratch); };
  check_gradient(x, dx, loss);
  check_gradient(norm, dnorm, loss);
  check_gradient(table, dtable, loss);
}

TEST_CASE("multi-token prediction module with the shared embedding and head") {
  base::Random generator(5);
  const Mtp<double> mtp(hidden, layer(mla(), moe()));
  auto w = mtp.random(generator);
  Matrix h = random(tokens, hidden, 1), embedding = random(13, hidden, 2), head = random(13, hidden, 3), dh;
  std::vector<std::int32_t> next;
  Targets targets{{}, 0.03};
  for (Index r = 0; r < tokens; ++r) {
    next.push_back(static_cast<std::int32_t>(r * 3 % 7));  // tokens repeat
    targets.tokens.push_back(static_cast<std::int32_t>(r * 5 % 13));
  }
  Mtp<double>::Saved saved, scratch;
  mtp.forward(w, {embedding, head}, h, next, targets, saved);
  mtp.input_gradient(w, {embedding, head}, h, targets, saved, dh);
  auto gradients = mtp.zeros();
  Matrix dembedding(13, hidden), dhead(13, hidden);
  mtp.weight_gradient(h, next, saved, gradients, dembedding, dhead);
  const auto loss = [&] { return mtp.forward(w, {embedding, head}, h, next, targets, scratch); };
  check_gradient(h, dh, loss, 2e-6);
  check_gradient(embedding, dembedding, loss, 2e-6);
  check_gradient(head, dhead, loss, 2e-6);
  check_weights(w, gradients, loss);
}
