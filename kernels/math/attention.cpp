// A block of query rows meets all keys that it may see in one GEMM, so that the scores of a block (128 rows) stay in
// the second-level cache; the full matrix of scores never exists. A (sequence, key-value head) is one unit of parallel
// work: its query heads add to the same dk and dv.
//
// Gradient, with P = exp(s - log_sum), D_i = sum_j dO_ij O_ij:
//   dV = P^T dO,   dS = P (dO V^T - D),   dQ = dS K / sqrt(d),   dK = dS^T Q / sqrt(d).
#include "kernels/math/attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/math/eigen_map.h"

namespace hourglass::kernels {

namespace {

constexpr Index query_rows = 128;

// Where one head of one sequence lies, and the rows of one block.
struct Place {
  Index sequence, head, kv_head, first, rows, keys;
};

template <class Body>
void for_each_block(const AttentionShape& a, Index tokens, const Body& body) {
  const Index pairs = tokens / a.length * a.kv_heads, share = a.heads / a.kv_heads;
#pragma omp parallel for schedule(dynamic)
  for (Index pair = 0; pair < pairs; ++pair) {
    const Index sequence = pair / a.kv_heads, kv_head = pair % a.kv_heads;
    for (Index head = kv_head * share; head < (kv_head + 1) * share; ++head) {
      for (Index first = 0; first < a.length; first += query_rows) {
        const Index rows = std::min(query_rows, a.length - first);
        body(Place{sequence * a.length, head, kv_head, first, rows, a.causal ? first + rows : a.length});
      }
    }
  }
}

template <class T>
T scale_of(const AttentionShape& a) {
  return T(1) / std::sqrt(static_cast<T>(a.qk_dim));
}

}  // namespace

template <class T>
void Attention<T>::forward(const AttentionShape& a, const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>& v,
                           Tensor<T>& o, Tensor<T>& log_sum) {
  o.resize(q.rows(), a.heads * a.v_dim);
  log_sum.resize(q.rows(), a.heads);
  const T scale = scale_of<T>(a);
  for_each_block(a, q.rows(), [&](const Place& at) {
    const Index row = at.sequence + at.first;
    RowMajor<T> s(at.rows, at.keys);
    s.noalias() = block(q, row, at.rows, at.head * a.qk_dim, a.qk_dim) *
                  block(k, at.sequence, at.keys, at.kv_head * a.qk_dim, a.qk_dim).transpose();
    for (Index i = 0; i < at.rows; ++i) {
      const Index seen = a.causal ? at.first + i + 1 : at.keys;
      auto scores = s.row(i).head(seen).array();
      const T largest = scores.maxCoeff() * scale;
      scores = (scores * scale - largest).exp();
      const T sum = scores.sum();
      scores *= T(1) / sum;
      s.row(i).tail(at.keys - seen).setZero();
      log_sum(row + i, at.head) = largest + std::log(sum);
    }
    block(o, row, at.rows, at.head * a.v_dim, a.v_dim).noalias() =
        s * block(v, at.sequence, at.keys, at.kv_head * a.v_dim, a.v_dim);
  });
}

template <class T>
void Attention<T>::input_gradient(const AttentionShape& a, const Tensor<T>& d_o, const Tensor<T>& q, const Tensor<T>& k,
                                  const Tensor<T>& v, const Tensor<T>& o, const Tensor<T>& log_sum, Tensor<T>& dq,
                                  Tensor<T>& dk, Tensor<T>& dv) {
  dq.resize(q.rows(), q.columns());
  dk.resize(k.rows(), k.columns());
  dv.resize(v.rows(), v.columns());
  dk.fill(T(0));
  dv.fill(T(0));
  const T scale = scale_of<T>(a);
  for_each_block(a, q.rows(), [&](const Place& at) {
    const Index row = at.sequence + at.first;
    const auto queries = block(q, row, at.rows, at.head * a.qk_dim, a.qk_dim);
    const auto keys = block(k, at.sequence, at.keys, at.kv_head * a.qk_dim, a.qk_dim);
    const auto gradient = block(d_o, row, at.rows, at.head * a.v_dim, a.v_dim);
    RowMajor<T> p(at.rows, at.keys), ds(at.rows, at.keys);
    p.noalias() = queries * keys.transpose();
    ds.noalias() = gradient * block(v, at.sequence, at.keys, at.kv_head * a.v_dim, a.v_dim).transpose();
    for (Index i = 0; i < at.rows; ++i) {
      const Index seen = a.causal ? at.first + i + 1 : at.keys;
      auto probabilities = p.row(i).head(seen).array();
      probabilities = (probabilities * scale - log_sum(row + i, at.head)).exp();
      const T along = (gradient.row(i).array() * block(o, row + i, 1, at.head * a.v_dim, a.v_dim).array()).sum();
      ds.row(i).head(seen).array() = probabilities * (ds.row(i).head(seen).array() - along) * scale;
      p.row(i).tail(at.keys - seen).setZero();
      ds.row(i).tail(at.keys - seen).setZero();
    }
    block(dq, row, at.rows, at.head * a.qk_dim, a.qk_dim).noalias() = ds * keys;
    block(dk, at.sequence, at.keys, at.kv_head * a.qk_dim, a.qk_dim).noalias() += ds.transpose() * queries;
    block(dv, at.sequence, at.keys, at.kv_head * a.v_dim, a.v_dim).noalias() += p.transpose() * gradient;
  });
}

template struct Attention<float>;
template struct Attention<double>;

}  // namespace hourglass::kernels
