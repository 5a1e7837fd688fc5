#pragma once

#include <string>

#include "base/provenance.h"
#include "hardware/measure/fit.h"

// What a fit found: a table of errors, every class with its parameters, the worst rows, and the residuals drawn.
namespace hourglass::reports {

std::string calibration_text(const hardware::Fit& fit);
// {classes: [{name, parameters, undetermined, in_sample, held_out, rows: [{op, shape, us, in_sample_error,
// held_out_error}]}], skipped}
base::Json calibration_json(const hardware::Fit& fit, const base::Provenance& provenance);
// Held-out error of every sample over its measured time, one panel a class. Self-contained SVG.
std::string residual_svg(const hardware::Fit& fit);

}  // namespace hourglass::reports
