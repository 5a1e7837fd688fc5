// Fitting. For every class the residual of a sample is r = log(predicted / measured), so that 10 % too long and 10 %
// too short weigh alike and short kernels count as much as long ones. Parameters are fitted as logarithms inside
// bounds, which keeps them positive.
//
// Method: Levenberg-Marquardt (Marquardt 1963) on Huber's loss (Huber 1964, knee at 10 %) by iteratively reweighted
// least squares: weights w = min(1, knee / |r|), a finite-difference Jacobian (steps of 2 %: predictions have steps,
// from waves and the choice of tiles), the damped normal equations solved by Eigen's column-pivoted Householder QR. No
// random numbers.
//
// Determination. A parameter whose column of the Jacobian is nearly zero (a change of 2 % moves no prediction by 0.05
// %), or that ends at a bound, is not determined by the data: it keeps the base profile's value and is reported.
//
// Held-out error. Samples are split into families (GEMMs by the weight [n, k], collectives by op and ranks, attention
// by length, kernels of a trace by layer); family i goes to fold i mod folds; each fold is predicted by a fit to the
// others.
#include "hardware/measure/fit.h"

#include <fmt/format.h>

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include "base/error.h"
#include "hardware/measure/predict.h"

namespace hourglass::hardware {

namespace {

constexpr double knee = 0.10, difference = 0.02, smallest_effect = 5e-4;
constexpr int most_iterations = 60, folds = 5;
constexpr std::size_t least_rows = 3;  // for each parameter

using Parameter = FittedFigure;

std::vector<Parameter> fitted_to(FittedTo samples, Profile& profile, const std::string& name) {
  std::vector<Parameter> figures = fitted_figures(profile, name);
  std::erase_if(figures, [&](const Parameter& each) { return each.samples != samples; });
  return figures;
}

Parameter figure_of(Profile& profile, const std::string& name, const std::string& figure, const std::string& shown) {
  for (const Parameter& each : fitted_figures(profile, name)) {
    if (each.name == figure) return {shown, each.value, each.low, each.high, each.samples};
  }
  throw base::Error("there is no " + name + "." + figure, "fit");
}

// The parameters of a class that samples can set, as places in the profile. Dispatch and combine show both tiers at
// once, a trace the kernels of several classes.
std::vector<Parameter> parameters_of(Profile& p, const std::string& name) {
  if (name == "moe_throughput") {
    return {figure_of(p, "moe_nvlink", "efficiency", "moe_nvlink efficiency"),
            figure_of(p, "moe_rdma", "efficiency", "moe_rdma efficiency"),
            figure_of(p, "moe_rdma", "startup_us", "moe_rdma startup_us"),
            figure_of(p, "moe_nvlink", "dispatch_sm_GBps", "dispatch_sm_GBps"),
            figure_of(p, "moe_nvlink", "combine_sm_GBps", "combine_sm_GBps"),
            figure_of(p, "moe_nvlink", "startup_us", "moe_nvlink startup_us")};
  }
  if (name == "in_situ") {
    std::vector<Parameter> all = fitted_to(FittedTo::traces, p, name);
    for (const std::string each : {"gemm_fp8", "grouped_gemm_fp8"}) {
      for (const Parameter& figure : fitted_to(FittedTo::traces, p, each))
        all.push_back({each + " " + figure.name, figure.value, figure.low, figure.high, figure.samples});
    }
    return all;
  }
  std::vector<Parameter> all = fitted_to(FittedTo::its_samples, p, name);
  if (name == "nvlink_p2p")  // every peer at once: no steps
    std::erase_if(all, [](const Parameter& each) { return each.name == "step_us"; });
  return all;
}

bool is_fp8(const Sample& s) { return s.dtype == "e4m3" || s.dtype == "e5m2"; }

// The class a sample belongs to; "" with a reason if it can set none.
std::string class_of(const Sample& s, std::int64_t smallest_rows, std::string& reason) {
  const bool gemm = s.op == "gemm" || s.op == "grouped_gemm" || s.op == "quantized_linear";
  if (!s.beside.empty()) {
    if (gemm && s.sms > 0) return "in_situ";
    reason = "measured beside other kernels: only GEMMs with a number of SMs are used";
    return "";
  }
  if (gemm && s.at("m") < static_cast<double>(smallest_rows)) {
    reason = fmt::format("fewer than {} rows", smallest_rows);
    return "";
  }
  if (is_fp8(s) && s.recipe == "tensor") return "gemm_fp8_tensor";
  if (s.op == "quantized_linear") return "gemm_fp8";
  if (gemm) return s.op + (is_fp8(s) ? "_fp8" : "_bf16");
  if (s.op == "attention") return "attention";
  if (s.op == "dispatch" || s.op == "combine") return s.at("low_latency") > 0.0 ? "moe_low_latency" : "moe_throughput";
  if (s.op == "send_recv") return s.at("same_node") > 0.0 ? "nvlink_p2p" : "rdma";
  if (s.op == "all_to_all" && s.at("ranks_per_node") >= s.at("ranks")) return "nvlink_p2p";
  if (s.shape.contains("ranks")) return s.at("ranks_per_node") >= s.at("ranks") ? "nvlink" : "rdma";
  return s.op;
}

std::string family_of(const Sample& s) {
  // In a trace the layers are repeats of each other: hold out whole layers.
  if (!s.beside.empty()) return s.name.substr(s.name.find_last_of(' ') + 1);
  if (s.shape.contains("n")) return fmt::format("{}x{}", s.at("n"), s.at("k"));
  if (s.op == "attention") return fmt::format("{}", s.at("kv_length"));
  if (s.op == "dispatch" || s.op == "combine")
    return fmt::format("{} {} {} {}", s.op, s.at("ranks"), s.sms, s.at("low_latency"));
  if (s.shape.contains("ranks")) return fmt::format("{} {}", s.op, s.at("ranks"));
  if (s.op == "router") return fmt::format("{}x{}", s.at("tokens"), s.at("experts"));
  return fmt::format("{}", s.at("bytes"));
}

using Rows = std::vector<const Sample*>;

Eigen::VectorXd residuals(const Cluster& cluster, const Profile& profile, const Rows& rows) {
  Eigen::VectorXd r(static_cast<Eigen::Index>(rows.size()));
  for (std::size_t i = 0; i < rows.size(); ++i)
    r[static_cast<Eigen::Index>(i)] = std::log(predict_seconds(cluster, profile, *rows[i]) / rows[i]->seconds);
  return r;
}

double huber(const Eigen::VectorXd& r) {
  double loss = 0.0;
  for (const double x : r) loss += std::abs(x) <= knee ? 0.5 * x * x : knee * (std::abs(x) - 0.5 * knee);
  return loss;
}

// Fits the given parameters of `profile` in place. Returns the Jacobian at the end, one column a parameter.
Eigen::MatrixXd levenberg_marquardt(const Cluster& cluster, Profile& profile, std::vector<Parameter>& parameters,
                                    const Rows& rows) {
  const auto columns = static_cast<Eigen::Index>(parameters.size());
  for (Parameter& p : parameters) *p.value = std::clamp(*p.value, p.low, p.high);
  Eigen::VectorXd r = residuals(cluster, profile, rows);
  Eigen::MatrixXd jacobian(r.size(), columns);
  double damping = 1e-2;
  for (int iteration = 0; iteration < most_iterations; ++iteration) {
    for (Eigen::Index c = 0; c < columns; ++c) {
      Parameter& p = parameters[static_cast<std::size_t>(c)];
      const double old = *p.value;
      *p.value = old * (1.0 + difference);
      jacobian.col(c) = (residuals(cluster, profile, rows) - r) / std::log1p(difference);
      *p.value = old;
    }
    const Eigen::VectorXd weights =
        r.unaryExpr([](double x) { return std::min(1.0, knee / std::max(std::abs(x), 1e-12)); });
    const Eigen::MatrixXd normal = jacobian.transpose() * weights.asDiagonal() * jacobian;
    const Eigen::VectorXd gradient = jacobian.transpose() * weights.asDiagonal() * r;
    const double loss = huber(r);
    bool better = false;
    for (int attempt = 0; attempt < 12 && !better; ++attempt, damping *= 4.0) {
      Eigen::MatrixXd damped = normal;
      damped.diagonal().array() += damping * normal.diagonal().array() + 1e-9;
      const Eigen::VectorXd step = damped.colPivHouseholderQr().solve(-gradient);
      std::vector<double> old;
      for (std::size_t c = 0; c < parameters.size(); ++c) {
        Parameter& p = parameters[c];
        old.push_back(*p.value);
        *p.value =
            std::clamp(*p.value * std::exp(std::clamp(step[static_cast<Eigen::Index>(c)], -1.0, 1.0)), p.low, p.high);
      }
      Eigen::VectorXd candidate = residuals(cluster, profile, rows);
      better = huber(candidate) < loss * (1.0 - 1e-7);
      if (better)
        r = std::move(candidate);
      else
        for (std::size_t c = 0; c < parameters.size(); ++c) *parameters[c].value = old[c];
    }
    if (!better) break;
    damping = std::max(damping / 64.0, 1e-8);
  }
  return jacobian;
}

// Predictions are not smooth in the parameters, so one start may end in a local minimum: every parameter is also
// started at 0.4 and 2.5 times its value, and the best end is kept.
Eigen::MatrixXd best_of_starts(const Cluster& cluster, Profile& profile, std::vector<Parameter>& parameters,
                               const Rows& rows) {
  std::vector<double> begin, best;
  for (const Parameter& p : parameters) begin.push_back(*p.value);
  Eigen::MatrixXd best_jacobian;
  double best_loss = std::numeric_limits<double>::infinity();
  for (std::size_t start = 0; start < 2 * parameters.size() + 1; ++start) {
    for (std::size_t c = 0; c < parameters.size(); ++c) *parameters[c].value = begin[c];
    if (start > 0) *parameters[(start - 1) / 2].value *= start % 2 == 1 ? 0.4 : 2.5;
    Eigen::MatrixXd jacobian = levenberg_marquardt(cluster, profile, parameters, rows);
    const double loss = huber(residuals(cluster, profile, rows));
    if (loss >= best_loss) continue;
    best_loss = loss;
    best_jacobian = std::move(jacobian);
    best.clear();
    for (const Parameter& p : parameters) best.push_back(*p.value);
  }
  for (std::size_t c = 0; c < parameters.size(); ++c) *parameters[c].value = best[c];
  return best_jacobian;
}

enum class Why : std::uint8_t { no_effect, at_its_bound, few_samples };

// A parameter that the data leave open.
struct Open {
  std::size_t parameter;
  Why why;
};

std::optional<Open> first_open(const std::vector<Parameter>& parameters, const Eigen::MatrixXd& jacobian,
                               std::size_t rows) {
  for (std::size_t c = 0; c < parameters.size(); ++c) {
    const Parameter& p = parameters[c];
    const double effect = jacobian.col(static_cast<Eigen::Index>(c)).cwiseAbs().maxCoeff() * difference;
    if (effect < smallest_effect) return Open{c, Why::no_effect};
    if (*p.value <= p.low * 1.0001 || *p.value >= p.high * 0.9999) return Open{c, Why::at_its_bound};
  }
  if (rows < least_rows * parameters.size()) return Open{parameters.size() - 1, Why::few_samples};
  return std::nullopt;
}

std::string words_of(const Open& open, const std::vector<Parameter>& parameters, std::size_t rows) {
  const Parameter& p = parameters[open.parameter];
  switch (open.why) {
    case Why::no_effect:
      return p.name + ": no sample depends on it";
    case Why::at_its_bound:
      return fmt::format("{}: the samples push it to its bound {:.3g}", p.name, *p.value);
    case Why::few_samples:
      return fmt::format("{}: {} samples for {} parameters", p.name, rows, parameters.size());
  }
  return "";
}

// Fits what the rows determine; what they do not keeps its value and is named in `undetermined`.
void fit_determined(const Cluster& cluster, Profile& profile, const std::string& name, const Rows& rows,
                    std::vector<std::string>& undetermined) {
  const Profile base = profile;
  std::vector<Parameter> parameters = parameters_of(profile, name);
  while (!parameters.empty()) {
    const Eigen::MatrixXd jacobian = best_of_starts(cluster, profile, parameters, rows);
    const std::optional<Open> open = first_open(parameters, jacobian, rows.size());
    if (!open) return;
    undetermined.push_back(words_of(*open, parameters, rows.size()));
    // Start again from the base without it; a parameter at its bound stays there.
    const double value = *parameters[open->parameter].value;
    profile = base;
    if (open->why == Why::at_its_bound) *parameters[open->parameter].value = value;
    parameters.erase(parameters.begin() + static_cast<std::ptrdiff_t>(open->parameter));
  }
}

ClassFit fit_class(const Cluster& cluster, Profile& profile, const std::string& name, const Rows& rows) {
  ClassFit fit;
  fit.name = name;
  const Profile base = profile;
  fit_determined(cluster, profile, name, rows, fit.undetermined);
  for (const Parameter& p : parameters_of(profile, name)) {
    fit.parameters.push_back(p.name);
    fit.values.push_back(*p.value);
  }
  std::map<std::string, std::size_t> families;
  for (const Sample* s : rows) families.emplace(family_of(*s), 0);
  std::size_t next = 0;
  for (auto& [family, index] : families) index = next++;
  std::vector<double> in_sample, held_out;
  fit.residuals.resize(rows.size());
  for (int fold = 0; fold < folds; ++fold) {
    Rows train;
    std::vector<std::size_t> test;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const bool here = families.at(family_of(*rows[i])) % folds == static_cast<std::size_t>(fold);
      if (here)
        test.push_back(i);
      else
        train.push_back(rows[i]);
    }
    if (test.empty()) continue;
    Profile other = base;
    std::vector<std::string> ignored;
    if (!train.empty()) fit_determined(cluster, other, name, train, ignored);
    for (const std::size_t i : test) {
      fit.residuals[i] = {rows[i], predict_seconds(cluster, profile, *rows[i]) / rows[i]->seconds - 1.0,
                          predict_seconds(cluster, other, *rows[i]) / rows[i]->seconds - 1.0};
    }
  }
  for (const Residual& r : fit.residuals) {
    in_sample.push_back(r.in_sample);
    held_out.push_back(r.held_out);
  }
  fit.in_sample = summarise_errors(in_sample);
  fit.held_out = summarise_errors(held_out);
  return fit;
}

// A grouped GEMM whose costs are stated as transferred from the plain one follows it.
void follow_transferred(Profile& profile, const std::string& fitted) {
  const auto follow = [](const GemmClass& from, GemmClass& to) {
    if (to.basis.origin != Origin::transferred) return;
    const GemmClass old = to;
    to = from;
    to.weight_gradient_slowdown = old.weight_gradient_slowdown;
    to.basis = old.basis;
  };
  if (fitted == "gemm_fp8") follow(profile.gemm_fp8, profile.grouped_gemm_fp8);
  if (fitted == "gemm_bf16") follow(profile.gemm_bf16, profile.grouped_gemm_bf16);
}

}  // namespace

ErrorSummary summarise_errors(std::vector<double> errors) {
  ErrorSummary summary;
  summary.rows = errors.size();
  if (errors.empty()) return summary;
  std::sort(errors.begin(), errors.end());
  summary.bias = errors[errors.size() / 2];
  summary.quantiles = {errors[errors.size() / 10], summary.bias,
                       errors[std::min(errors.size() - 1, errors.size() * 9 / 10)]};
  for (double& e : errors) e = std::abs(e);
  std::sort(errors.begin(), errors.end());
  summary.median = errors[errors.size() / 2];
  summary.p90 = errors[std::min(errors.size() - 1, errors.size() * 9 / 10)];
  summary.worst = errors.back();
  return summary;
}

Fit fit_profile(const Cluster& cluster, const Profile& base, const std::vector<SampleSet>& sets,
                std::int64_t smallest_rows) {
  Fit fit;
  fit.profile = base;
  std::map<std::string, Rows> by_class;
  std::map<std::string, std::string> sources;
  std::map<std::string, std::size_t> skipped;
  for (const SampleSet& set : sets) {
    for (const Sample& s : set.samples) {
      std::string reason;
      const std::string name = class_of(s, smallest_rows, reason);
      if (name.empty()) {
        ++skipped[set.path + ": " + reason];
        continue;
      }
      by_class[name].push_back(&s);
      std::string& source = sources[name];
      if (source.find(set.source) == std::string::npos) source += (source.empty() ? "" : "; ") + set.source;
    }
  }
  for (const auto& [reason, count] : skipped) fit.skipped.push_back(fmt::format("{} samples of {}", count, reason));
  for (const auto& [name, rows] : by_class) {
    fit.classes.push_back(fit_class(cluster, fit.profile, name, rows));
    follow_transferred(fit.profile, name);
    const ErrorSummary& error = fit.classes.back().held_out;
    Basis basis;
    basis.origin = Origin::fitted;
    basis.relative_error = std::round(error.median / 0.6745 * 1e4) / 1e4;  // of a normal distribution with this median
    basis.source = fmt::format("{}: {} samples, held out by shape: median error {:.1f} %, 90th percentile {:.1f} %",
                               sources[name], error.rows, error.median * 100.0, error.p90 * 100.0);
    for (std::size_t i = 0; i < error.quantiles.size(); ++i)
      basis.residual_quantiles[i] = std::round(error.quantiles[i] * 1e4) / 1e4;
    if (name == "in_situ") {
      for (const ClassOrigin& each : origins(base)) {
        if (each.name == name) basis.source += "; the factors of other kernels: " + each.basis.source;
      }
    }
    if (name == "moe_throughput") {
      set_basis(fit.profile, "moe_nvlink", basis);
      set_basis(fit.profile, "moe_rdma", basis);
    } else {
      set_basis(fit.profile, name, basis);
    }
  }
  return fit;
}

}  // namespace hourglass::hardware
