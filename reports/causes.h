#pragma once

#include <string>

#include "base/fields.h"
#include "sim/training/result.h"

// Why a step takes as long as it does: its critical path, and why each rank waits.
namespace hourglass::reports {

std::string causes_text(const sim::Result& result);
base::Json critical_path_json(const sim::CriticalPath& path);
base::Json idle_json(const sim::IdleCauses& idle);
base::Json exposed_json(const sim::ExposedTiers& exposed);

}  // namespace hourglass::reports
