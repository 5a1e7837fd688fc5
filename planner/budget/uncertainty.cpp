// Monte Carlo over the sources of error: the factors are skewed, act through a schedule and multiply, so that their sum
// has no closed form, and there are too many of them for a grid of quadrature points. Seeded: same plan, same range.
//
// Costs. A class of the profile that was fitted to samples states the quantiles of its held-out residuals
// r = predicted / measured - 1; its draw multiplies all its kernels by 1 / (1 + r): one draw a class and sample, never
// averaged over the kernels of a step, because a kernel that is wrong is wrong every time it runs. The distribution
// between and beyond the quantiles is a normal of two halves in log(1 / (1 + r)). Where the class's relative_error is
// wider than its quantiles (it was carried over from another machine), it is widened to that. A class without residuals
// has relative_error on both sides. Classes that state equal residuals were fitted together and share their draw.
//
// Hours under a draw come from a response: each source alone is moved by one deviation to both sides and the run is
// simulated again; in logarithms the response is linear on each side and the sources add up. Tested against whole
// simulations of drawn profiles (tests/planner/test_uncertainty.cpp). The split of layers stays as planned.
//
// Imbalance of experts slows the grouped GEMMs and the all-to-all in proportion: all wait for the fullest GPU. It is at
// least 1. The flows of plan.network give about 0.7 of that for the all-to-all, so this is the cautious side; a plan
// that simulates its own imbalance there gets none here.
//
// Failures: the rate is log-normal around the plan's, and how many of them come is Poisson. Checkpoints stay as
// planned.
#include "planner/budget/uncertainty.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "base/units.h"

namespace hourglass::planner {

namespace {

constexpr double ninety_percent = 1.2815515655446004;  // standard normal quantile

constexpr double smallest_move = 1e-3;

// log(hours / planned hours) against the log of a source's factor.
struct Response {
  double down_at = 0.0, down = 0.0, up_at = 0.0, up = 0.0;
  double operator()(double x) const {
    if (x < 0.0) return down_at < 0.0 ? down * x / down_at : 0.0;
    return up_at > 0.0 ? up * x / up_at : 0.0;
  }
};

struct Source {
  LogFactor factor;
  Response response;
  double least = -100.0;  // of the log factor
};

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : "+") + name;
  return out;
}

// Poisson, by inversion; by a normal where there are many.
double poisson(base::Random& random, double mean) {
  if (mean > 100.0) return std::max(0.0, std::round(mean + std::sqrt(mean) * random.normal()));
  double left = random.uniform(), probability = std::exp(-mean), count = 0.0;
  while (left > probability && count < 1000.0) {
    left -= probability;
    count += 1.0;
    probability *= mean / count;
  }
  return count;
}

class Drawing {
 public:
  Drawing(const RangeInputs& inputs, std::vector<Source> sources) : in_(inputs), sources_(std::move(sources)) {}

  void run(std::vector<double>& net, std::vector<double>& gross) {
    const auto seed = static_cast<std::uint64_t>(in_.uncertainty.seed);
    base::Random costs(seed), failures(~seed);  // apart, so that net hours do not depend on failures
    const LogFactor rate = log_factor(1.0 / in_.uncertainty.failure_factor, 1.0, in_.uncertainty.failure_factor);
    const double spares = in_.goodput.gross_gpu_hours / std::max(1e-300, in_.goodput.wall_s);
    for (std::int64_t i = 0; i < in_.uncertainty.samples; ++i) {
      double change = 0.0;
      for (const Source& source : sources_)
        change += source.response(std::max(source.least, source.factor.at(costs.normal())));
      const double factor = std::exp(change), rate_factor = std::exp(rate.at(failures.normal()));
      net.push_back(in_.simulated_hours * factor + in_.given_hours);
      const double share = net.back() / (in_.simulated_hours + in_.given_hours);
      const double mean = in_.goodput.failures * rate_factor * share;
      const double luck = mean > 0.0 ? poisson(failures, mean) / mean : 1.0;
      const double wall = in_.goodput.net_s * share * wall_over_net(in_.goodput_inputs, in_.goodput, rate_factor, luck);
      gross.push_back(wall * spares);
    }
  }

 private:
  const RangeInputs& in_;
  std::vector<Source> sources_;
};

}  // namespace

Quantiles quantiles_of(std::vector<double>& values) {
  if (values.empty()) throw base::Error("there are no values to take quantiles of", "range");
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double position = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(position);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    const double part = position - static_cast<double>(below);
    return values[below] * (1.0 - part) + values[above] * part;
  };
  return {at(0.1), at(0.5), at(0.9)};
}

LogFactor log_factor(double p10, double p50, double p90) {
  return {std::log(p50), std::log(p50 / p10) / ninety_percent, std::log(p90 / p50) / ninety_percent};
}

std::vector<CostError> cost_errors(const hardware::Profile& profile) {
  std::vector<CostError> errors;
  std::vector<std::array<double, 3>> residuals;
  for (const hardware::ClassOrigin& each : hardware::origins(profile)) {
    const hardware::Basis& from = each.basis;
    const bool fitted = from.residual_quantiles != std::array<double, 3>{};
    const auto same = fitted ? std::find(residuals.begin(), residuals.end(), from.residual_quantiles) : residuals.end();
    if (same != residuals.end()) {
      errors[static_cast<std::size_t>(same - residuals.begin())].classes.push_back(each.name);
      continue;
    }
    if (!fitted && from.relative_error <= 0.0) continue;
    CostError error{{each.name}, {0.0, std::log1p(from.relative_error), std::log1p(from.relative_error)}};
    if (fitted) {
      const auto factor = [&](std::size_t i) { return 1.0 / std::max(0.01, 1.0 + from.residual_quantiles[i]); };
      error.factor = log_factor(factor(2), factor(1), factor(0));  // a high residual is a fast kernel
      const double spread = (error.factor.down + error.factor.up) / 2.0;
      const double widen = spread > 0.0 ? std::max(1.0, std::log1p(from.relative_error) / spread) : 1.0;
      error.factor.down *= widen;
      error.factor.up *= widen;
    }
    errors.push_back(error);
    residuals.push_back(from.residual_quantiles);
  }
  return errors;
}

hardware::Profile slowed(const hardware::Profile& profile, const CostError& error, double factor) {
  hardware::Profile out = profile;
  for (const std::string& name : error.classes) out = hardware::slowed(std::move(out), name, factor);
  return out;
}

hardware::Profile imbalanced(const hardware::Profile& profile, double imbalance) {
  return slowed(profile, {{"grouped_gemm_bf16", "grouped_gemm_fp8", "moe_nvlink", "moe_rdma"}, {}}, imbalance);
}

Range draw_range(const RangeInputs& in, const std::function<double(const hardware::Profile&)>& hours_under) {
  Range range;
  std::vector<Source> sources;
  const auto add = [&](const std::string& name, Source source, double up, const auto& profile_at) {
    const auto response = [&](double at) {
      return in.simulated_hours > 0.0 ? std::log(hours_under(profile_at(std::exp(at))) / in.simulated_hours) : 0.0;
    };
    const double down = std::max(-source.factor.down, source.least);
    const double change = response(up);
    source.response = {down, change != 0.0 && down < 0.0 ? response(down) : 0.0, up, change};
    sources.push_back(source);
    range.sensitivities.push_back({name, std::expm1(up), in.simulated_hours * std::expm1(change)});
  };
  for (const CostError& error : cost_errors(*in.profile))
    add(joined(error.classes), {error.factor, {}}, std::max(error.factor.up, smallest_move),
        [&](double factor) { return slowed(*in.profile, error, factor); });
  if (in.imbalance) {
    const sim::Uncertainty& u = in.uncertainty;
    const Source source{log_factor(u.imbalance.p10, u.imbalance.p50, u.imbalance.p90), {}, 0.0};
    add("expert imbalance", source, std::max(source.factor.at(1.0), smallest_move),
        [&](double factor) { return imbalanced(*in.profile, factor); });
  }
  std::stable_sort(range.sensitivities.begin(), range.sensitivities.end(),
                   [](const Sensitivity& a, const Sensitivity& b) { return a.gpu_hours > b.gpu_hours; });
  std::vector<double> net, gross;
  Drawing(in, sources).run(net, gross);
  range.net_gpu_hours = quantiles_of(net);
  range.gross_gpu_hours = quantiles_of(gross);
  return range;
}

}  // namespace hourglass::planner
