#include "reports/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "base/svg_canvas.h"
#include "base/units.h"
#include "reports/json.h"
#include "reports/table.h"

namespace hourglass::reports {

namespace {

std::string sample_text(const hardware::Sample& s) {
  std::string text = s.op + " " + s.dtype;
  for (const std::string& key : hardware::shape_keys(s.op)) text += fmt::format(" {}={:.15g}", key, s.at(key));
  return text;
}

std::vector<const hardware::Residual*> worst_rows(const hardware::ClassFit& fit, std::size_t count) {
  std::vector<const hardware::Residual*> rows;
  for (const hardware::Residual& r : fit.residuals) rows.push_back(&r);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto* a, const auto* b) { return std::abs(a->held_out) > std::abs(b->held_out); });
  rows.resize(std::min(rows.size(), count));
  return rows;
}

// What the name of a parameter promises.
double unit_of(const std::string& parameter) {
  if (parameter.find("_ps_") != std::string::npos) return base::pico;
  return parameter.ends_with("_us") ? base::micro : parameter.ends_with("_GBps") ? base::giga : 1.0;
}

}  // namespace

std::string calibration_text(const hardware::Fit& fit) {
  std::string out =
      "error of every sample by fits that did not see its shape family (held out), and by the fit to all (in "
      "sample)\n\n";
  Table table({"class", "samples", "held-out median", "p90", "worst", "bias", "in-sample median", "p90"});
  for (const hardware::ClassFit& c : fit.classes) {
    table.add({c.name, std::to_string(c.held_out.rows), percent(c.held_out.median), percent(c.held_out.p90),
               percent(c.held_out.worst), fmt::format("{:+.1f} %", c.held_out.bias * 100.0),
               percent(c.in_sample.median), percent(c.in_sample.p90)});
  }
  out += table.text();
  for (const hardware::ClassFit& c : fit.classes) {
    out += fmt::format("\n{}\n", c.name);
    for (std::size_t i = 0; i < c.parameters.size(); ++i) {
      out += fmt::format("  {:<22} {:.4g}\n", c.parameters[i], c.values[i] / unit_of(c.parameters[i]));
    }
    for (const std::string& open : c.undetermined) out += fmt::format("  not determined: {}\n", open);
    for (const hardware::Residual* r : worst_rows(c, 3)) {
      out += fmt::format("  worst: {:+.0f} % of {:.4g} us, {}\n", r->held_out * 100.0, r->sample->seconds / base::micro,
                         sample_text(*r->sample));
    }
  }
  for (const std::string& skipped : fit.skipped) out += "\nleft out: " + skipped;
  return out + (fit.skipped.empty() ? "" : "\n");
}

base::Json calibration_json(const hardware::Fit& fit, const base::Provenance& provenance) {
  const auto errors = [](const hardware::ErrorSummary& e) {
    return base::Json{{"median_abs_error", e.median}, {"p90_abs_error", e.p90}, {"worst", e.worst}, {"bias", e.bias}};
  };
  base::Json classes = base::Json::array();
  for (const hardware::ClassFit& c : fit.classes) {
    base::Json parameters = base::Json::object(), rows = base::Json::array();
    for (std::size_t i = 0; i < c.parameters.size(); ++i)
      parameters[c.parameters[i]] = c.values[i] / unit_of(c.parameters[i]);
    for (const hardware::Residual& r : c.residuals) {
      base::Json row = {{"op", r.sample->op}, {"dtype", r.sample->dtype}};
      for (const std::string& key : hardware::shape_keys(r.sample->op)) row[key] = r.sample->at(key);
      row["us"] = r.sample->seconds / base::micro;
      row["in_sample_error"] = r.in_sample;
      row["held_out_error"] = r.held_out;
      rows.push_back(std::move(row));
    }
    classes.push_back({{"name", c.name},
                       {"parameters", parameters},
                       {"undetermined", c.undetermined},
                       {"in_sample", errors(c.in_sample)},
                       {"held_out", errors(c.held_out)},
                       {"rows", rows}});
  }
  return {{"schema_version", schema_version},
          {"provenance", base::provenance_json(provenance)},
          {"classes", classes},
          {"skipped", fit.skipped}};
}

std::string residual_svg(const hardware::Fit& fit) {
  constexpr double width = 720.0, panel = 200.0, left = 60.0, plot = 620.0, range = 0.5;  // +-50 %
  base::SvgCanvas canvas({width, panel * static_cast<double>(fit.classes.size())});
  for (std::size_t i = 0; i < fit.classes.size(); ++i) {
    const hardware::ClassFit& c = fit.classes[i];
    const double top = panel * static_cast<double>(i), middle = top + 110.0, height = 75.0;
    double low = 1e30, high = 0.0;
    for (const hardware::Residual& r : c.residuals) {
      low = std::min(low, r.sample->seconds);
      high = std::max(high, r.sample->seconds);
    }
    const double span = std::max(std::log(high / low), 1e-9);
    canvas.text(left, {top + 20.0, 0},
                fmt::format("{}: held-out error, median {}, p90 {} ({} samples)", c.name, percent(c.held_out.median),
                            percent(c.held_out.p90), c.held_out.rows));
    for (const double level : {-range, -0.15, 0.0, 0.15, range}) {
      const double y = middle - level / range * height;
      canvas.element("line", {{"x1", left}, {"x2", left + plot}, {"y1", {y, 1}}, {"y2", {y, 1}}, {"stroke", "#ccc"}})
          .beside()
          .text(left - 6, {y + 4, 1}, fmt::format("{:+.0f} %", level * 100.0), {{"text-anchor", "end"}});
    }
    for (const hardware::Residual& r : c.residuals) {
      const double x = left + std::log(r.sample->seconds / low) / span * plot;
      const double y = middle - std::clamp(r.held_out, -range, range) / range * height;
      canvas.element("circle",
                     {{"cx", {x, 1}}, {"cy", {y, 1}}, {"r", "2"}, {"fill", "#4f81bd"}, {"fill-opacity", "0.5"}});
    }
    canvas.text(left, {top + 196.0, 0}, fmt::format("{:.3g} us", low * 1e6)).beside();
    canvas.text(left + plot, {top + 196.0, 0}, fmt::format("{:.3g} us measured", high * 1e6), {{"text-anchor", "end"}});
  }
  return std::move(canvas).take();
}

}  // namespace hourglass::reports
