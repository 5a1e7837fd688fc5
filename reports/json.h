#pragma once

#include "base/fields.h"
#include "base/provenance.h"
#include "planner/budget/budget.h"
#include "planner/compare/comparison.h"
#include "planner/compare/sweep.h"
#include "planner/validation/validation.h"
#include "sim/training/result.h"
#include "sim/training/tune_overlap.h"

// Results as JSON. Keys carry their unit. schema_version is semver: a key is only removed or changed in meaning with a
// new major version, and only added with a new minor one.
namespace hourglass::reports {

inline constexpr const char* schema_version = "1.1.0";

// How every document begins.
base::Json heading(const base::Provenance& provenance);
base::Json budget_json(const planner::Budget& budget, const base::Provenance& provenance);
base::Json tuning_json(const sim::OverlapTuning& tuning);
base::Json step_json(const sim::Result& result, const base::Provenance& provenance);
base::Json comparison_json(const planner::Comparison& comparison, const base::Provenance& provenance);
base::Json sweep_json(const planner::Sweep& sweep, const base::Provenance& provenance);
base::Json validation_json(const planner::Validation& validation, const base::Provenance& provenance);
base::Json model_json(const model::ModelSpec& model, std::int64_t sequence_length, const base::Provenance& provenance);

}  // namespace hourglass::reports
