#include "hardware/profile.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"

namespace hourglass::hardware {

namespace {

using base::Fields;
using base::micro;

constexpr std::array<const char*, 3> quantile_names = {"p10", "p50", "p90"};

Provenance read_provenance(Fields& fields) {
  static const std::vector<std::string> names = {"measured", "fitted", "transferred", "assumed"};
  const std::string origin = fields.choice("origin", names);
  Provenance provenance;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (origin == names[i]) provenance.origin = static_cast<Origin>(i);
  }
  provenance.source = fields.text("source");
  if (provenance.source.empty()) fields.fail("source", "the citation is empty", "say where the figures come from");
  provenance.relative_error = fields.number("relative_error", 0.0, 2.0);
  if (fields.has("residual_quantiles")) {
    Fields quantiles = fields.object("residual_quantiles");
    for (std::size_t i = 0; i < quantile_names.size(); ++i)
      provenance.residual_quantiles[i] = quantiles.number(quantile_names[i], -1.0, 100.0);
    quantiles.finish();
  }
  return provenance;
}

double efficiency(Fields& fields, const std::string& key) { return fields.number(key, 1e-4, 2.0); }
double slowdown(Fields& fields, const std::string& key) { return fields.number(key, 0.5, 100.0); }
double microseconds(Fields& fields, const std::string& key) { return fields.number(key, 0.0, 1e6) * micro; }

GemmClass read_gemm(Fields fields) {
  GemmClass out;
  out.main_loop_efficiency = efficiency(fields, "main_loop_efficiency");
  out.operand_elements = fields.number("operand_elements", 0.0, 1024.0);
  out.tile_overhead_s = microseconds(fields, "tile_overhead_us");
  out.k_step_s = microseconds(fields, "k_step_us");
  out.launch_s = microseconds(fields, "launch_us");
  out.call_s = fields.number_or("call_us", 0.0, 0.0, 1e6) * micro;
  out.weight_gradient_slowdown = slowdown(fields, "weight_gradient_slowdown");
  out.provenance = read_provenance(fields);
  fields.finish();
  return out;
}

AttentionClass read_attention(Fields fields) {
  AttentionClass out;
  out.forward_efficiency = efficiency(fields, "forward_efficiency");
  out.backward_efficiency = efficiency(fields, "backward_efficiency");
  out.half_length = fields.number("half_length", 0.0, 1e5);
  out.launch_s = microseconds(fields, "launch_us");
  out.provenance = read_provenance(fields);
  fields.finish();
  return out;
}

MemoryClass read_memory(Fields fields) {
  MemoryClass out;
  out.efficiency = efficiency(fields, "efficiency");
  out.launch_s = microseconds(fields, "launch_us");
  out.provenance = read_provenance(fields);
  fields.finish();
  return out;
}

RouterClass read_router(Fields fields) {
  RouterClass out;
  out.efficiency = efficiency(fields, "efficiency");
  out.choice_s_per_score = fields.number("choice_ps_per_score", 0.0, 1e9) * base::pico;
  out.launch_s = microseconds(fields, "launch_us");
  out.provenance = read_provenance(fields);
  fields.finish();
  return out;
}

LinkClass read_link(Fields fields) {
  LinkClass out;
  out.efficiency = efficiency(fields, "efficiency");
  out.copy_steps = fields.number_or("copy_steps", 0.0, 0.0, 10.0);
  out.low_latency_efficiency = fields.number_or("low_latency_efficiency", 0.0, 0.0, 2.0);
  out.low_latency_startup_s = fields.number_or("low_latency_startup_us", 0.0, 0.0, 1e6) * micro;
  out.switch_efficiency = fields.number_or("switch_efficiency", 0.0, 0.0, 2.0);
  out.switch_startup_s = fields.number_or("switch_startup_us", 0.0, 0.0, 1e6) * micro;
  out.dispatch_sm_bandwidth = fields.number_or("dispatch_sm_GBps", 0.0, 0.0, 1e4) * base::giga;
  out.combine_sm_bandwidth = fields.number_or("combine_sm_GBps", 0.0, 0.0, 1e4) * base::giga;
  out.startup_s = microseconds(fields, "startup_us");
  out.step_s = microseconds(fields, "step_us");
  out.provenance = read_provenance(fields);
  fields.finish();
  return out;
}

LowLatencyClass read_low_latency(Fields fields) {
  LowLatencyClass out;
  out.startup_s = microseconds(fields, "startup_us");
  out.rdma_startup_s = microseconds(fields, "rdma_startup_us");
  out.nvlink_efficiency = efficiency(fields, "nvlink_efficiency");
  out.rdma_efficiency = efficiency(fields, "rdma_efficiency");
  out.rdma_only_efficiency = efficiency(fields, "rdma_only_efficiency");
  out.provenance = read_provenance(fields);
  fields.finish();
  return out;
}

InSitu read_in_situ(Fields fields) {
  InSitu out;
  out.gemm_slowdown = slowdown(fields, "gemm_slowdown");
  out.grouped_gemm_slowdown = slowdown(fields, "grouped_gemm_slowdown");
  out.attention_slowdown = slowdown(fields, "attention_slowdown");
  out.memory_slowdown = slowdown(fields, "memory_slowdown");
  out.dispatch_slowdown = slowdown(fields, "dispatch_slowdown");
  out.combine_slowdown = slowdown(fields, "combine_slowdown");
  out.skew_share = fields.number("skew_share", 0.0, 10.0);
  out.provenance = read_provenance(fields);
  fields.finish();
  return out;
}

}  // namespace

const char* name_of(Origin origin) {
  switch (origin) {
    case Origin::measured:
      return "measured";
    case Origin::fitted:
      return "fitted";
    case Origin::transferred:
      return "transferred";
    case Origin::assumed:
      return "assumed";
  }
  return "";
}

Profile read_profile(const base::Json& document, const std::string& file) {
  Fields fields(document, file);
  Profile profile;
  profile.name = fields.text("name");
  profile.gpu = fields.text("gpu");
  profile.gemm_bf16 = read_gemm(fields.object("gemm_bf16"));
  profile.gemm_fp8 = fields.has("gemm_fp8") ? read_gemm(fields.object("gemm_fp8")) : GemmClass{};
  if (fields.has("gemm_fp8_tensor")) profile.gemm_fp8_tensor = read_gemm(fields.object("gemm_fp8_tensor"));
  profile.grouped_gemm_bf16 = read_gemm(fields.object("grouped_gemm_bf16"));
  profile.grouped_gemm_fp8 =
      fields.has("grouped_gemm_fp8") ? read_gemm(fields.object("grouped_gemm_fp8")) : GemmClass{};
  profile.attention = read_attention(fields.object("attention"));
  profile.norm = read_memory(fields.object("norm"));
  profile.rotary = read_memory(fields.object("rotary"));
  profile.activation = read_memory(fields.object("activation"));
  profile.cast = read_memory(fields.object("cast"));
  profile.permute = read_memory(fields.object("permute"));
  profile.elementwise = read_memory(fields.object("elementwise"));
  profile.optimizer = read_memory(fields.object("optimizer"));
  profile.router = read_router(fields.object("router"));
  profile.nvlink = read_link(fields.object("nvlink"));
  profile.nvlink_p2p = fields.has("nvlink_p2p") ? read_link(fields.object("nvlink_p2p")) : profile.nvlink;
  profile.rdma = read_link(fields.object("rdma"));
  profile.moe_nvlink = read_link(fields.object("moe_nvlink"));
  profile.moe_rdma = read_link(fields.object("moe_rdma"));
  if (fields.has("moe_low_latency")) profile.moe_low_latency = read_low_latency(fields.object("moe_low_latency"));
  profile.in_situ = read_in_situ(fields.object("in_situ"));
  fields.finish();
  return profile;
}

namespace {

void slow(GemmClass& kernel, double factor) {
  kernel.main_loop_efficiency /= factor;
  kernel.tile_overhead_s *= factor;
  kernel.k_step_s *= factor;
  kernel.launch_s *= factor;
}
void slow(AttentionClass& kernel, double factor) {
  kernel.forward_efficiency /= factor;
  kernel.backward_efficiency /= factor;
  kernel.launch_s *= factor;
}
void slow(MemoryClass& kernel, double factor) {
  kernel.efficiency /= factor;
  kernel.launch_s *= factor;
}
void slow(RouterClass& kernel, double factor) {
  kernel.efficiency /= factor;
  kernel.choice_s_per_score *= factor;
  kernel.launch_s *= factor;
}
void slow(LinkClass& link, double factor) {
  link.efficiency /= factor;
  link.low_latency_efficiency /= factor;
  link.low_latency_startup_s *= factor;
  link.switch_efficiency /= factor;
  link.switch_startup_s *= factor;
  link.dispatch_sm_bandwidth /= factor;
  link.combine_sm_bandwidth /= factor;
  link.startup_s *= factor;
  link.step_s *= factor;
}
void slow(LowLatencyClass& kernel, double factor) {
  kernel.startup_s *= factor;
  kernel.rdma_startup_s *= factor;
  kernel.nvlink_efficiency /= factor;
  kernel.rdma_efficiency /= factor;
  kernel.rdma_only_efficiency /= factor;
}
void slow(InSitu& in_situ, double factor) {
  for (double* slowdown :
       {&in_situ.gemm_slowdown, &in_situ.grouped_gemm_slowdown, &in_situ.attention_slowdown, &in_situ.memory_slowdown,
        &in_situ.dispatch_slowdown, &in_situ.combine_slowdown, &in_situ.skew_share}) {
    *slowdown *= factor;
  }
}

// Calls visit(name, class) for every class, in file order: the one list of what a profile holds.
template <class AnyProfile, class Visitor>
void for_each_class(AnyProfile& p, const Visitor& visit) {
  visit("gemm_bf16", p.gemm_bf16);
  visit("gemm_fp8", p.gemm_fp8);
  visit("gemm_fp8_tensor", p.gemm_fp8_tensor);
  visit("grouped_gemm_bf16", p.grouped_gemm_bf16);
  visit("grouped_gemm_fp8", p.grouped_gemm_fp8);
  visit("attention", p.attention);
  visit("norm", p.norm);
  visit("rotary", p.rotary);
  visit("activation", p.activation);
  visit("cast", p.cast);
  visit("permute", p.permute);
  visit("elementwise", p.elementwise);
  visit("optimizer", p.optimizer);
  visit("router", p.router);
  visit("nvlink", p.nvlink);
  visit("nvlink_p2p", p.nvlink_p2p);
  visit("rdma", p.rdma);
  visit("moe_nvlink", p.moe_nvlink);
  visit("moe_rdma", p.moe_rdma);
  visit("moe_low_latency", p.moe_low_latency);
  visit("in_situ", p.in_situ);
}

}  // namespace

std::vector<ClassOrigin> origins(const Profile& profile) {
  std::vector<ClassOrigin> all;
  for_each_class(profile, [&](const char* name, const auto& kernel) {
    if (!kernel.provenance.source.empty()) all.push_back({name, kernel.provenance});  // FP8 may be absent
  });
  return all;
}

void set_provenance(Profile& profile, const std::string& name, const Provenance& provenance) {
  bool found = false;
  for_each_class(profile, [&](const char* each, auto& kernel) {
    if (name != each) return;
    kernel.provenance = provenance;
    found = true;
  });
  if (!found) throw base::Error("there is no class " + name, "profile");
}

Profile slowed(Profile profile, const std::string& name, double factor) {
  for_each_class(profile, [&](const char* each, auto& kernel) {
    if (name == each) slow(kernel, factor);
  });
  return profile;
}

namespace {

double micros(double seconds) { return std::round(seconds / micro * 1e6) / 1e6; }

void write(base::Json& out, const GemmClass& c) {
  out = {{"main_loop_efficiency", c.main_loop_efficiency},
         {"operand_elements", c.operand_elements},
         {"tile_overhead_us", micros(c.tile_overhead_s)},
         {"k_step_us", micros(c.k_step_s)},
         {"launch_us", micros(c.launch_s)},
         {"weight_gradient_slowdown", c.weight_gradient_slowdown}};
  if (c.call_s > 0.0) out["call_us"] = micros(c.call_s);
}
void write(base::Json& out, const AttentionClass& c) {
  out = {{"forward_efficiency", c.forward_efficiency},
         {"backward_efficiency", c.backward_efficiency},
         {"half_length", c.half_length},
         {"launch_us", micros(c.launch_s)}};
}
void write(base::Json& out, const MemoryClass& c) {
  out = {{"efficiency", c.efficiency}, {"launch_us", micros(c.launch_s)}};
}
void write(base::Json& out, const RouterClass& c) {
  out = {{"efficiency", c.efficiency},
         {"choice_ps_per_score", c.choice_s_per_score / base::pico},
         {"launch_us", micros(c.launch_s)}};
}
void write(base::Json& out, const LinkClass& c) {
  out = {{"efficiency", c.efficiency}, {"startup_us", micros(c.startup_s)}, {"step_us", micros(c.step_s)}};
  if (c.copy_steps > 0.0) out["copy_steps"] = c.copy_steps;
  if (c.dispatch_sm_bandwidth > 0.0) out["dispatch_sm_GBps"] = c.dispatch_sm_bandwidth / base::giga;
  if (c.combine_sm_bandwidth > 0.0) out["combine_sm_GBps"] = c.combine_sm_bandwidth / base::giga;
  if (c.switch_efficiency > 0.0) {
    out["switch_efficiency"] = c.switch_efficiency;
    out["switch_startup_us"] = micros(c.switch_startup_s);
  }
  if (c.low_latency_efficiency <= 0.0) return;
  out["low_latency_efficiency"] = c.low_latency_efficiency;
  out["low_latency_startup_us"] = micros(c.low_latency_startup_s);
}
void write(base::Json& out, const LowLatencyClass& c) {
  out = {{"startup_us", micros(c.startup_s)},
         {"rdma_startup_us", micros(c.rdma_startup_s)},
         {"nvlink_efficiency", c.nvlink_efficiency},
         {"rdma_efficiency", c.rdma_efficiency},
         {"rdma_only_efficiency", c.rdma_only_efficiency}};
}
void write(base::Json& out, const InSitu& c) {
  out = {{"gemm_slowdown", c.gemm_slowdown},
         {"grouped_gemm_slowdown", c.grouped_gemm_slowdown},
         {"attention_slowdown", c.attention_slowdown},
         {"memory_slowdown", c.memory_slowdown},
         {"dispatch_slowdown", c.dispatch_slowdown},
         {"combine_slowdown", c.combine_slowdown},
         {"skew_share", c.skew_share}};
}

}  // namespace

base::Json profile_json(const Profile& profile) {
  base::Json out = {{"name", profile.name}, {"gpu", profile.gpu}};
  for_each_class(profile, [&](const char* name, const auto& kernel) {
    if (kernel.provenance.source.empty()) return;  // FP8 may be absent
    write(out[name], kernel);
    out[name]["origin"] = name_of(kernel.provenance.origin);
    out[name]["source"] = kernel.provenance.source;
    out[name]["relative_error"] = kernel.provenance.relative_error;
    if (kernel.provenance.residual_quantiles == std::array<double, 3>{}) return;
    for (std::size_t i = 0; i < quantile_names.size(); ++i)
      out[name]["residual_quantiles"][quantile_names[i]] = kernel.provenance.residual_quantiles[i];
  });
  return out;
}

}  // namespace hourglass::hardware
