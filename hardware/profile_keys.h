#pragma once

// The classes of a profile, each figure described once (base/describe.h says how): its key, member, range, unit and
// meaning, how a slower class changes it, and how far a fit may move it. Reading, writing, `slowed`, the fit's
// parameters, the schema and the reference derive from this file; a new figure or class is a line here and a member in
// profile.h. The order is that of the file.
#include "base/describe.h"
#include "hardware/profile.h"

namespace hourglass::hardware {

enum class Slowness : std::uint8_t { leaves, divides, multiplies };  // what a class that is `factor` times as slow does

struct Figure : base::KeyWords<Figure> {
  Slowness slowness = Slowness::leaves;
  FittedTo samples = FittedTo::nothing;
  double fit_low = 0.0, fit_high = 0.0;  // as the member, SI
  bool spared = false;

  Figure kept() const { return with(&Figure::slowness, Slowness::leaves); }
  Figure divided() const { return with(&Figure::slowness, Slowness::divides); }
  Figure multiplied() const { return with(&Figure::slowness, Slowness::multiplies); }
  // By the class's own samples, where the figure is there; by kernels of a trace, measured beside others; by dispatch
  // and combine.
  Figure fitted(double least, double most) const { return fitted_to(FittedTo::its_samples, least, most); }
  Figure fitted_in_traces(double least, double most) const { return fitted_to(FittedTo::traces, least, most); }
  Figure fitted_in_dispatches(double least, double most) const { return fitted_to(FittedTo::dispatches, least, most); }
  // The fit gives these up before the others where samples are few.
  Figure first_to_go() const { return with(&Figure::spared, true); }

 private:
  Figure fitted_to(FittedTo which, double least, double most) const {
    Figure changed = with(&Figure::samples, which);
    changed.fit_low = least;
    changed.fit_high = most;
    return changed;
  }
};

inline Figure figure(double low, double high, base::Unit unit = {}) {
  Figure key;
  key.low = low;
  key.high = high;
  key.unit = unit;
  return key;
}
inline Figure efficiency() { return figure(1e-4, 2.0).divided(); }
inline Figure efficiency_or_none() { return figure(0.0, 2.0).divided(); }
inline Figure microseconds() { return figure(0.0, 1e6, base::unit::us).multiplied(); }
inline Figure slowdown() { return figure(0.5, 100.0).multiplied(); }
inline Figure rate_of_an_sm() { return figure(0.0, 1e4, base::unit::GBps).divided(); }
inline Figure kernels() { return figure(1.0, 1e4); }

template <class V>
void describe(V& v, Quantiles& q) {
  v.required("p10", q[0], base::range(-1.0, 100.0), "a tenth of the samples lie below");
  v.required("p50", q[1], base::range(-1.0, 100.0), "half of them");
  v.required("p90", q[2], base::range(-1.0, 100.0), "nine tenths");
}

template <class V>
void describe(V& v, Basis& b) {
  v.required("origin", b.origin, base::choice({"measured", "fitted", "transferred", "assumed"}),
             "how the figures came about");
  v.required("source", b.source, "where they come from");
  v.required("relative_error", b.relative_error, base::range(0.0, 100.0),
             "one standard deviation of the class's cost as a whole");
  v.optional("residual_quantiles", b.residual_quantiles,
             "held-out predicted / measured - 1, of a class that was fitted");
}

template <class V>
void describe(V& v, GemmClass& c) {
  v.required("main_loop_efficiency", c.main_loop_efficiency, efficiency().fitted(0.05, 1.5),
             "of the tensor-core peak, for an infinitely large tile");
  v.required("operand_elements", c.operand_elements, figure(0.0, 1024.0).fitted(1.0, 200.0),
             "h: a tile a x b runs at main_loop_efficiency / (1 + h (1/a + 1/b))");
  v.required("tile_overhead_us", c.tile_overhead_s, microseconds().fitted(1e-7, 2e-5),
             "epilogue of a tile of 128 x 128 on one SM; others by their area");
  v.required("k_step_us", c.k_step_s, microseconds().fitted(1e-8, 2e-6),
             "least time of one step of k in one tile: latency that a small tile cannot hide");
  v.required("launch_us", c.launch_s, microseconds().fitted(2e-7, 5e-5), "start and end of the kernel");
  v.required("weight_gradient_slowdown", c.weight_gradient_slowdown, slowdown().kept().fitted_in_traces(0.5, 10.0),
             "of accumulation into FP32 gradients and transposed operands");
  v.optional("call_us", c.call_s, microseconds().kept().fitted(1e-7, 5e-5),
             "what timing around a call adds to the kernel's own time; no part of a step");
  describe(v, c.basis);
}

template <class V>
void describe(V& v, AttentionClass& c) {
  v.required("forward_efficiency", c.forward_efficiency, efficiency().fitted(0.02, 1.2),
             "of the BF16 peak, on the FLOPs computed (causal: half)");
  v.required("backward_efficiency", c.backward_efficiency, efficiency().fitted(0.02, 1.2), "the same, backward");
  v.required("half_length", c.half_length, figure(0.0, 1e5).fitted(1.0, 1e4),
             "h: the rate is efficiency / (1 + h / kv_length)");
  v.required("launch_us", c.launch_s, microseconds().fitted(2e-7, 1e-4), "start and end of the kernel");
  describe(v, c.basis);
}

template <class V>
void describe(V& v, MemoryClass& c) {
  v.required("efficiency", c.efficiency, efficiency().fitted(0.02, 1.2), "of the HBM peak");
  v.required("launch_us", c.launch_s, microseconds().fitted(2e-7, 1e-4), "start and end of the kernel");
  describe(v, c.basis);
}

template <class V>
void describe(V& v, RouterClass& c) {
  v.required("efficiency", c.efficiency, efficiency().fitted(0.02, 1.2).first_to_go(),
             "of the HBM peak, converting the input to FP32");
  v.required("choice_ps_per_score", c.choice_s_per_score,
             figure(0.0, 1e9, base::unit::ps).multiplied().fitted(1e-13, 1e-6),
             "forward: choosing groups and experts, for each token and expert");
  v.required("launch_us", c.launch_s, microseconds().fitted(1e-8, 1e-3), "of all its short kernels together");
  describe(v, c.basis);
}

template <class V>
void describe(V& v, LinkClass& c) {
  const bool copies = c.copy_steps > 0.0, has_switch = c.switch_efficiency > 0.0,
             has_low_latency = c.low_latency_efficiency > 0.0;
  v.required("efficiency", c.efficiency, efficiency().fitted(0.02, 1.2), "of the link's peak");
  v.required("startup_us", c.startup_s, microseconds().fitted(1e-7, 1e-3), "of a message or collective");
  v.required("step_us", c.step_s, microseconds().fitted(1e-8, 1e-3), "of each algorithmic step of a collective");
  v.optional("copy_steps", c.copy_steps, figure(0.0, 10.0).when(copies).fitted(0.01, 10.0),
             "of a ring: copying the own part in and out, in steps");
  v.optional("dispatch_sm_GBps", c.dispatch_sm_bandwidth, rate_of_an_sm().fitted_in_dispatches(1e8, 1e11),
             "dispatch between nodes: what one SM forwards; 0: no limit");
  v.optional("combine_sm_GBps", c.combine_sm_bandwidth, rate_of_an_sm().fitted_in_dispatches(1e8, 1e11),
             "the same of combine");
  v.optional("switch_efficiency", c.switch_efficiency,
             efficiency_or_none().when(has_switch).fitted(0.01, 1.2).first_to_go(),
             "all-reduce inside the NVLink switch (NVLS); 0: there is none");
  v.optional("switch_startup_us", c.switch_startup_s, microseconds().when(has_switch).fitted(1e-6, 1e-3).first_to_go(),
             "its start-up");
  v.optional("low_latency_efficiency", c.low_latency_efficiency,
             efficiency_or_none().when(has_low_latency).fitted(0.01, 1.2),
             "of collectives by the low-latency protocol (NCCL's LL and LL128); 0: there is none");
  v.optional("low_latency_startup_us", c.low_latency_startup_s, microseconds().when(has_low_latency).fitted(1e-7, 1e-3),
             "its start-up");
  describe(v, c.basis);
}

template <class V>
void describe(V& v, LowLatencyClass& c) {
  v.required("startup_us", c.startup_s, microseconds().fitted(1e-7, 1e-3), "of a dispatch or combine");
  v.required("rdma_startup_us", c.rdma_startup_s, microseconds().fitted(1e-7, 1e-3),
             "besides, where the group has several nodes");
  v.required("nvlink_efficiency", c.nvlink_efficiency, efficiency().fitted(0.02, 1.2), "of NVLink's peak");
  v.required("rdma_efficiency", c.rdma_efficiency, efficiency().fitted(0.02, 1.2), "of the NIC's peak");
  v.required("rdma_only_efficiency", c.rdma_only_efficiency, efficiency().fitted(0.02, 1.2),
             "of the kernels that use no NVLink; they show no start-up of their own");
  describe(v, c.basis);
}

template <class V>
void describe(V& v, InSitu& c) {
  v.required("gemm_slowdown", c.gemm_slowdown, slowdown().fitted_in_traces(0.5, 10.0),
             "of GEMMs, beyond the SMs that they lose");
  v.required("grouped_gemm_slowdown", c.grouped_gemm_slowdown, slowdown().fitted_in_traces(0.5, 10.0),
             "of grouped GEMMs, likewise");
  v.required("attention_slowdown", c.attention_slowdown, slowdown(), "the whole effect: attention keeps its SMs");
  v.required("memory_slowdown", c.memory_slowdown, slowdown(), "the whole effect, likewise");
  v.required("dispatch_slowdown", c.dispatch_slowdown, slowdown(), "of dispatch beside computation");
  v.required("combine_slowdown", c.combine_slowdown, slowdown(), "of combine beside computation");
  v.required("skew_share", c.skew_share, figure(0.0, 10.0).multiplied(),
             "wait for slower peers before each dispatch or combine, of the computation since the last one");
  describe(v, c.basis);
}

template <class V>
void describe(V& v, LaunchCounts& c) {
  v.optional("attention_backward", c.attention_backward, kernels(), "of attention, backward");
  v.optional("norm", c.norm, kernels(), "of a norm");
  v.optional("rotary", c.rotary, kernels(), "of a rotary embedding");
  v.optional("activation", c.activation, kernels(), "of an activation function");
  v.optional("router", c.router, kernels(), "of a router, with the elementwise kernels around it");
  v.optional("permute", c.permute, kernels(), "of a permutation of tokens");
  v.optional("cast", c.cast, kernels(), "of a conversion to FP8");
  v.optional("dispatch", c.dispatch, kernels(), "of a dispatch");
  v.optional("combine", c.combine, kernels(), "of a combine");
  v.required("source", c.source, "where they come from");
}

// What a profile holds: the one list of its classes.
template <class V>
void describe(V& v, Profile& p) {
  v.required("name", p.name, "of the profile");
  v.required("gpu", p.gpu, "that was measured");
  v.required("gemm_bf16", p.gemm_bf16, "BF16 GEMMs");
  v.optional("gemm_fp8", p.gemm_fp8, "FP8 GEMMs with block scales; absent: none");
  v.optional("gemm_fp8_tensor", p.gemm_fp8_tensor, "FP8 GEMMs with one scale a tensor, grouped too; absent: none");
  v.required("grouped_gemm_bf16", p.grouped_gemm_bf16, "grouped BF16 GEMMs: the experts of a layer in one launch");
  v.optional("grouped_gemm_fp8", p.grouped_gemm_fp8, "grouped FP8 GEMMs with block scales; absent: none");
  v.required("attention", p.attention, "attention kernels");
  v.required("norm", p.norm, "norms");
  v.required("rotary", p.rotary, "rotary embeddings");
  v.required("activation", p.activation, "activation functions, SwiGLU among them");
  v.required("cast", p.cast, "conversions to FP8");
  v.required("permute", p.permute, "permutations of tokens before and after the experts");
  v.required("elementwise", p.elementwise, "embedding, loss, residuals; also how fast a GEMM's operands are read");
  v.required("optimizer", p.optimizer, "the optimizer step");
  v.required("router", p.router, "routers beside their gate GEMM");
  v.required("nvlink", p.nvlink, "rings inside an NVLink domain (NCCL)");
  v.optional("nvlink_p2p", p.nvlink_p2p, base::fallback(p.nvlink, "nvlink"),
             "send, receive and all-to-all inside an NVLink domain (NCCL)");
  v.required("rdma", p.rdma, "rings between NVLink domains, and point-to-point");
  v.required("moe_nvlink", p.moe_nvlink, "dispatch and combine inside a domain (DeepEP)");
  v.required("moe_rdma", p.moe_rdma, "dispatch and combine between domains (DeepEP)");
  v.optional("moe_low_latency", p.moe_low_latency, "low-latency dispatch and combine (DeepEP); absent: none");
  v.required("in_situ", p.in_situ, "what changes beside communication kernels on the same GPU");
  v.optional("launches", p.launches, "kernels that an operator launches; what is absent is one kernel");
}

// A citation may not be empty.
template <class C>
requires requires(const C& c) { c.basis.source; }
void check(const C& c, const base::Fields& fields) {
  if (c.basis.source.empty()) fields.fail("source", "the citation is empty", "say where the figures come from");
}
inline void check(const LaunchCounts& c, const base::Fields& fields) {
  if (c.source.empty()) fields.fail("source", "the citation is empty", "say where the figures come from");
}

}  // namespace hourglass::hardware
