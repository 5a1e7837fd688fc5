#include <fmt/format.h>

#include "base/configs.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"
#include "reports/json.h"
#include "reports/text.h"

namespace hourglass::cli {

int model(const Invocation& invocation) {
  Options options;
  std::int64_t sequence_length = 4096;
  options.fill("sequence-length", "N", "tokens of a sequence, for the FLOPs (default 4096)", sequence_length);
  add_result_format(options);
  Values values;
  const Usage usage = {"hourglass model MODEL [options]",
                       "Parameters, FLOPs and KV cache of a model: a name or a Hugging Face config.json.",
                       {"config"}};
  if (!parse(invocation, usage, options, values)) return 0;
  if (sequence_length < 1 || sequence_length > 1 << 24) {
    throw base::UsageError(fmt::format("{} is not a sequence length", sequence_length), "--sequence-length",
                           "use 1 to 16777216");
  }
  const std::string format = format_of(values, result_formats());
  const std::string path = base::resolve(base::Config::model, required(values, "config", "MODEL"));
  const hourglass::model::ModelSpec spec = hourglass::model::read_model(path);
  base::Provenance provenance;
  provenance.argv = invocation.argv;
  provenance.inputs.push_back({path, base::load_json(path).text_hash});
  write_result(format, {[&] { return reports::model_text(spec, sequence_length); },
                        [&] { return reports::model_json(spec, sequence_length, provenance); },
                        {""}});
  return 0;
}

}  // namespace hourglass::cli
