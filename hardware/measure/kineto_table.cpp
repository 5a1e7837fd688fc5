// The mapping table: kernel names to classes, and kernel names to beginnings of phases. It is data, because names
// change with every library release, and a user's own kernels are known to nobody else. Rules are tried in order, so
// that specific ones ("swiglu ... cast") stand before general ones ("cast"), and a user's rules before ours.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "hardware/measure/kineto.h"

namespace hourglass::hardware {

namespace {

constexpr std::size_t longest_pattern = 1000;

std::regex read_pattern(base::Fields& fields) {
  const std::string text = fields.text("match");
  if (text.empty() || text.size() > longest_pattern) {
    fields.fail("match", fmt::format("is {} characters long", text.size()), "write 1 to 1000 of them");
  }
  try {
    return std::regex(text, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error&) {
    fields.fail("match", fmt::format("'{}' is no regular expression", base::printable(text)),
                "write an ECMAScript one, and \\\\ for a backslash");
  }
}

KernelRule read_rule(base::Fields& fields) {
  KernelRule rule;
  rule.kernel_class = fields.text("class");
  if (rule.kernel_class.empty() || rule.kernel_class == "unclassified") {
    fields.fail("class", fmt::format("'{}' is no class", rule.kernel_class), "name it, e.g. gemm");
  }
  rule.match = read_pattern(fields);
  if (fields.has("grid")) {
    const std::vector<std::int64_t> grid = fields.integers("grid", 1);
    if (grid.size() != 3) fields.fail("grid", fmt::format("has {} numbers", grid.size()), "write [x, y, z]");
    rule.grid = {grid[0], grid[1], grid[2]};
  }
  fields.finish();
  return rule;
}

PhaseMark read_mark(base::Fields& fields) {
  PhaseMark mark;
  mark.phase = fields.text("phase");
  if (mark.phase.empty()) fields.fail("phase", "the name is empty", "name it, e.g. attn(F)");
  mark.after = fields.text("after");
  mark.match = read_pattern(fields);
  mark.communication = fields.flag_or("communication", false);
  fields.finish();
  return mark;
}

bool found_in(const KernelRule& rule, const std::string& name, const TraceKernel& kernel) {
  if (rule.grid && !std::equal(rule.grid->begin(), rule.grid->end(), kernel.grid.begin())) return false;
  return std::regex_search(name, rule.match);
}

}  // namespace

bool communicates(const std::string& kernel_class) {
  static const std::set<std::string> classes = {"dispatch", "combine", "notify", "layout", "collective", "send_recv"};
  return classes.contains(kernel_class);
}

KernelTable read_kernel_table(const base::Json& document, const std::string& file, const KernelTable& last) {
  base::Fields fields(document, file);
  const std::string schema = fields.text("schema");
  if (!schema.starts_with("1.")) {
    fields.fail("schema", fmt::format("version {} is not read here", base::printable(schema)), "use 1.x");
  }
  fields.text_or("note", "");
  KernelTable table;
  for (base::Fields& each : fields.objects("kernels")) table.rules.push_back(read_rule(each));
  if (fields.has("phases")) {
    for (base::Fields& each : fields.objects("phases")) table.marks.push_back(read_mark(each));
  }
  fields.finish();
  table.rules.insert(table.rules.end(), last.rules.begin(), last.rules.end());
  if (table.marks.empty()) table.marks = last.marks;
  return table;
}

KernelTable load_kernel_table(const std::string& path, const KernelTable& last) {
  return read_kernel_table(base::load_json(path).value, path, last);
}

void classify(Trace& trace, const KernelTable& table) {
  std::map<std::string, std::uint32_t> index = {{trace.classes[0], 0}};
  const auto class_index = [&](const std::string& name) {
    const auto [found, added] = index.emplace(name, static_cast<std::uint32_t>(trace.classes.size()));
    if (added) trace.classes.push_back(name);
    return found->second;
  };
  const bool grids =
      std::any_of(table.rules.begin(), table.rules.end(), [](const KernelRule& rule) { return rule.grid.has_value(); });
  std::map<std::pair<std::uint32_t, std::array<std::int32_t, 3>>, std::uint32_t> known;
  for (TraceKernel& kernel : trace.kernels) {
    const auto [entry, fresh] = known.emplace(std::pair(kernel.name, grids ? kernel.grid : decltype(kernel.grid){}), 0);
    if (fresh) {
      const auto rule = std::find_if(table.rules.begin(), table.rules.end(), [&](const KernelRule& each) {
        return found_in(each, trace.names[kernel.name], kernel);
      });
      if (rule != table.rules.end()) entry->second = class_index(rule->kernel_class);
    }
    kernel.kernel_class = entry->second;
  }
}

}  // namespace hourglass::hardware
