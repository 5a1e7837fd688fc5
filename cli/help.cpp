#include "base/json.h"
#include "cli/command.h"
#include "reports/reference.h"

namespace hourglass::cli {

int help(const Invocation& invocation) {
  Options options;
  add_format(options, "text (default) or markdown: the whole reference");
  options.text("schema", "NAME", "the JSON schema input-plan, as it is in configs/schema");
  Values values;
  const Usage usage = {"hourglass help [KEY] [options]",
                       "What a key of an input or a result means: plan.recompute, cluster.nvlink_GBps, "
                       "simulate.step_time_s; of a prefix, the keys inside.",
                       {"key"}};
  if (!parse(invocation, usage, options, values)) return 0;
  const std::string format = format_of(values, {"text", "markdown"});
  if (values.has("schema"))
    write_out(reports::generated_schema(values.text("schema")).dump(1) + "\n");
  else if (format == "markdown")
    write_out(reports::reference_page());
  else
    write_out(reports::help_text(required(values, "key", "KEY")));
  return 0;
}

}  // namespace hourglass::cli
