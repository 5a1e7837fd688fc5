// Every lever is an input of the simulation, scaled by 1 - change and 1 + change; the whole run is simulated again as
// `plan` would with --set, the split of layers and the batch ramp included. Its elasticity is the slope of log time
// over log input between the two sides: -0.3 for a bandwidth means that 10 % more of it saves about 3 %. A step is a
// maximum over streams and ranks, so elasticities hold near the plan only, and those of several levers do not simply
// add up.
//
// The SMs of communication are a whole number: they move by at least one, and the elasticity uses what was applied.
// Imbalance of experts starts at 1, balanced, and can only grow; a plan with skewed experts of its own
// (plan.network.expert_skew) moves that skew instead.
#include "planner/budget/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <functional>

#include "base/error.h"
#include "base/units.h"
#include "planner/budget/budget.h"
#include "sim/training/fast/simulate_plan.h"

namespace hourglass::planner {

namespace {

// Changes the inputs by a factor; returns the factor really applied, 1 for none.
using Change = std::function<double(sim::Inputs&, double)>;

struct Definition {
  const char* name;
  std::string key;
  double value;
  Change change;
};

double run_time(const sim::Inputs& inputs, bool run) {
  if (run) return net_budget(inputs, nullptr).gpu_hours;
  sim::Inputs checked = inputs;
  sim::complete_parallelism(checked.plan, checked.model, checked.cluster, checked.plan.name);
  return sim::simulate_plan(checked).step_time_s;
}

double change_sms(sim::Inputs& in, double factor) {
  const std::int64_t sms = in.plan.communication_sms;
  const auto exact = static_cast<std::int64_t>(std::llround(static_cast<double>(sms) * factor));
  const std::int64_t moved = exact != sms ? exact : sms + (factor > 1.0 ? 1 : -1);
  if (moved < 1 || moved >= in.cluster.sms) return 1.0;
  in.plan.communication_sms = moved;
  return static_cast<double>(moved) / static_cast<double>(sms);
}

double change_network_latency(sim::Inputs& in, double factor) {
  hardware::Profile& p = in.profile;
  for (hardware::LinkClass* link : {&p.nvlink, &p.nvlink_p2p, &p.rdma, &p.moe_nvlink, &p.moe_rdma}) {
    for (double* latency : {&link->startup_s, &link->step_s, &link->low_latency_startup_s, &link->switch_startup_s}) {
      *latency *= factor;
    }
  }
  hardware::Fabric& fabric = in.cluster.fabric;
  for (double* latency : {&fabric.endpoint_latency_s, &fabric.hop_latency_s, &fabric.nvlink_latency_s})
    *latency *= factor;
  return factor;
}

double change_launches(sim::Inputs& in, double factor) {
  hardware::Profile& p = in.profile;
  for (double* launch : {&p.gemm_bf16.launch_s, &p.gemm_fp8.launch_s, &p.gemm_fp8_tensor.launch_s,
                         &p.grouped_gemm_bf16.launch_s, &p.grouped_gemm_fp8.launch_s, &p.attention.launch_s,
                         &p.norm.launch_s, &p.rotary.launch_s, &p.activation.launch_s, &p.cast.launch_s,
                         &p.permute.launch_s, &p.elementwise.launch_s, &p.optimizer.launch_s, &p.router.launch_s}) {
    *launch *= factor;
  }
  return factor;
}

// Scales one number that `pick` finds.
template <class Pick>
Change scale(Pick pick) {
  return [pick](sim::Inputs& in, double factor) {
    pick(in) *= factor;
    return factor;
  };
}

Definition imbalance_lever(const sim::Inputs& in) {
  if (in.plan.network && in.plan.network->expert_skew > 0.0) {
    return {"expert skew", "plan.network.expert_skew", in.plan.network->expert_skew,
            scale([](sim::Inputs& i) -> double& { return i.plan.network->expert_skew; })};
  }
  return {"expert imbalance", "fullest GPU over the mean load", 1.0, [](sim::Inputs& i, double factor) {
            if (factor < 1.0) return 1.0;
            i.profile = imbalanced(i.profile, factor);
            return factor;
          }};
}

std::vector<Definition> definitions(const sim::Inputs& in) {
  const hardware::Cluster& c = in.cluster;
  std::vector<Definition> all = {{"NVLink bandwidth", "cluster.nvlink_GBps", c.nvlink_bandwidth / base::giga,
                                  scale([](sim::Inputs& i) -> double& { return i.cluster.nvlink_bandwidth; })},
                                 {"NIC bandwidth", "cluster.nic_GBps", c.nic_bandwidth / base::giga,
                                  scale([](sim::Inputs& i) -> double& { return i.cluster.nic_bandwidth; })},
                                 {"HBM bandwidth", "cluster.memory_GBps", c.memory_bandwidth / base::giga,
                                  scale([](sim::Inputs& i) -> double& { return i.cluster.memory_bandwidth; })},
                                 {"BF16 rate", "cluster.bf16_TFLOPS", c.bf16_flops / base::tera,
                                  scale([](sim::Inputs& i) -> double& { return i.cluster.bf16_flops; })}};
  if (c.fp8_flops > 0.0)
    all.push_back({"FP8 rate", "cluster.fp8_TFLOPS", c.fp8_flops / base::tera,
                   scale([](sim::Inputs& i) -> double& { return i.cluster.fp8_flops; })});
  if (in.plan.communication_sms > 0)
    all.push_back({"SMs for communication", "plan.communication_sms", static_cast<double>(in.plan.communication_sms),
                   change_sms});
  if (in.plan.parallel.expert > 1) all.push_back(imbalance_lever(in));
  all.push_back({"network latency", "start-ups and steps of all links", 0.0, change_network_latency});
  all.push_back({"kernel launches", "launch_us of all kernels", 0.0, change_launches});
  if (in.profile.in_situ.skew_share > 0.0)
    all.push_back({"wait for slower peers", "profile.in_situ.skew_share", in.profile.in_situ.skew_share,
                   scale([](sim::Inputs& i) -> double& { return i.profile.in_situ.skew_share; })});
  return all;
}

LeverSide side(const sim::Inputs& inputs, const Definition& lever, double factor, bool run, double planned) {
  sim::Inputs changed = inputs;
  const double applied = lever.change(changed, factor);
  return {applied, applied == 1.0 ? planned : run_time(changed, run)};
}

// Both sides of every lever, in parallel; the first error by position is thrown.
void move_all(const sim::Inputs& inputs, const std::vector<Definition>& levers, Tornado& tornado) {
  std::vector<std::exception_ptr> errors(2 * levers.size());
  tornado.levers.resize(levers.size());
#pragma omp parallel for schedule(dynamic)
  for (std::size_t i = 0; i < 2 * levers.size(); ++i) {
    const Definition& each = levers[i / 2];
    Lever& lever = tornado.levers[i / 2];
    const bool up = i % 2 == 1;
    try {
      (up ? lever.up : lever.down) =
          side(inputs, each, up ? 1.0 + tornado.change : 1.0 - tornado.change, tornado.run, tornado.time);
    } catch (...) {  // carried to the thread that asked
      errors[i] = std::current_exception();
    }
  }
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
  for (std::size_t i = 0; i < levers.size(); ++i) {
    tornado.levers[i].name = levers[i].name;
    tornado.levers[i].key = levers[i].key;
    tornado.levers[i].value = levers[i].value;
  }
}

}  // namespace

double Lever::elasticity() const {
  return up.factor > down.factor ? std::log(up.time / down.time) / std::log(up.factor / down.factor) : 0.0;
}

double Lever::swing() const { return std::abs(up.time - down.time); }

Tornado sensitivity(const sim::Inputs& inputs, double change) {
  Tornado tornado;
  tornado.plan = inputs.plan.name;
  tornado.cluster = inputs.cluster.name;
  tornado.change = change;
  tornado.run = std::any_of(inputs.plan.stages.begin(), inputs.plan.stages.end(),
                            [](const sim::TrainingStage& stage) { return stage.tokens > 0.0 || stage.steps > 0.0; });
  tornado.time = run_time(inputs, tornado.run);
  move_all(inputs, definitions(inputs), tornado);
  std::stable_sort(tornado.levers.begin(), tornado.levers.end(),
                   [](const Lever& a, const Lever& b) { return a.swing() > b.swing(); });
  return tornado;
}

}  // namespace hourglass::planner
