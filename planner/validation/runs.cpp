// Measured training runs, as rows of {model, hardware, gpus, TP, PP, VP, CP, EP, ETP, MBS, GBS, seq, precision,
// recompute, tokens_per_s_per_gpu | step_time_s}: each becomes a plan of ours, its step is simulated, and seconds are
// compared (a row's TFLOP/s follow a convention of its own). What we do not model is skipped with the reason: models
// without a shipped config, fully sharded data parallelism, fine-tuning of adapters, GPUs without a cluster file, rows
// that leave sizes open. FP8 is taken as tensorwise (Transformer Engine's default on Hopper) unless a row says blocks.
// Foreign rows may hold keys that we do not read.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "base/configs.h"
#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "planner/validation/validate.h"
#include "sim/training/fast/simulate_plan.h"

namespace hourglass::planner {

namespace {

using base::Json;

constexpr std::int64_t most_ways = 1'000'000;  // of one kind of parallelism: products of three fit into 64 bits
constexpr double largest_overcommit = 1.25;    // our memory is not exact either

// Letters and digits in lower case: "Llama 3.1 8b BF16" and "LLAMA3.1-8B" start alike.
std::string plain(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0)
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

// A reason not to model the row, thrown and listed.
struct Skip {
  std::string reason;
};

std::string text(const Json& row, const char* key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_string() ? found->get<std::string>() : "";
}

std::int64_t count(const Json& row, const char* key, std::int64_t absent, std::int64_t most = 10'000'000) {
  const auto found = row.find(key);
  if (found == row.end() || found->is_null()) {
    if (absent > 0) return absent;
    throw Skip{fmt::format("{} is not stated", key)};
  }
  if (!found->is_number_integer() || found->get<std::int64_t>() < 1 || found->get<std::int64_t>() > most) {
    throw Skip{fmt::format("{} is not a count", key)};
  }
  return found->get<std::int64_t>();
}

double positive(const Json& row, const char* key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_number() && found->get<double>() > 0.0 ? found->get<double>() : 0.0;
}

// How such tables name what ships here (configs/published/names.json): the first entry of a list that the words begin
// with, or of clusters hold, names the file.
class Names {
 public:
  explicit Names(const std::string& configs) {
    const std::string file = configs + "/published/names.json";
    const base::JsonFile document = base::load_json(file);
    base::Fields fields(document.value, file);
    fields.text("what");
    models_ = pairs(fields.object("models"));
    clusters_ = pairs(fields.object("clusters"));
    fields.finish();
  }
  std::string model(const std::string& words) const {
    const std::string wanted = plain(words);
    for (const auto& [name, file] : models_) {
      if (wanted.starts_with(name)) return file;
    }
    throw Skip{"no shipped config for this model"};
  }
  std::string cluster(const std::string& words) const {
    const std::string wanted = plain(words);
    for (const auto& [name, file] : clusters_) {
      if (wanted.find(name) != std::string::npos) return file;
    }
    throw Skip{"no cluster file for this hardware"};
  }

 private:
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  static Pairs pairs(base::Fields fields) {
    Pairs out;
    for (const std::string& name : fields.keys()) out.emplace_back(name, fields.text(name));
    return out;
  }
  Pairs models_, clusters_;
};

void check_task(const Json& row) {
  for (const char* key : {"task", "model"}) {
    const std::string words = plain(text(row, key));
    if (words.find("lora") != std::string::npos || words.find("sft") != std::string::npos ||
        words.find("finetun") != std::string::npos) {
      throw Skip{"fine-tuning is not modelled"};
    }
  }
  const auto sharded = row.find("fsdp");
  if (sharded != row.end() && !sharded->is_null() && *sharded != false && *sharded != 0)
    throw Skip{"fully sharded data parallelism is not modelled"};
}

model::Recompute recompute_of(const std::string& words) {
  model::Recompute recompute;
  const std::string wanted = plain(words);
  recompute.full = wanted.starts_with("full");
  recompute.core_attn = wanted.starts_with("selective") || wanted.find("coreattn") != std::string::npos;
  return recompute;
}

// Frameworks' FP8 on Hopper scales tensors unless they say blocks.
model::Precision precision_of(const std::string& words) {
  if (words.find("fp8") == std::string::npos) return model::Precision::bf16;
  return words.find("block") != std::string::npos ? model::Precision::fp8_block : model::Precision::fp8_tensor;
}

sim::Inputs inputs_of(const Json& row, const std::string& configs, const Names& names) {
  check_task(row);
  sim::Inputs in;
  in.model = model::read_model(fmt::format("{}/models/{}.json", configs, names.model(text(row, "model"))));
  const std::string cluster = names.cluster(text(row, "hardware"));
  const std::string cluster_file = fmt::format("{}/clusters/{}.json", configs, cluster);
  in.cluster = hardware::read_cluster(base::load_json(cluster_file).value, cluster_file);
  const std::string profile_file = base::resolve(base::Config::profile, in.cluster.profile, cluster_file);
  in.profile = hardware::read_profile(base::load_json(profile_file).value, profile_file);
  sim::Plan& plan = in.plan;
  plan.name = text(row, "id");
  plan.gpus = count(row, "gpus", 0);
  in.cluster.gpus = std::max(in.cluster.gpus, plan.gpus);
  plan.parallel.tensor = count(row, "TP", 1, most_ways);
  plan.parallel.pipeline = count(row, "PP", 1, most_ways);
  plan.parallel.context = count(row, "CP", 1, most_ways);
  plan.parallel.expert = count(row, "EP", 1, most_ways);
  plan.parallel.expert_tensor = count(row, "ETP", 1, most_ways);
  plan.micro_batch = {count(row, "MBS", 0), count(row, "seq", 0)};
  plan.global_batch = count(row, "GBS", 0);
  plan.precision = precision_of(plain(text(row, "precision")));
  plan.recompute = recompute_of(text(row, "recompute"));
  plan.communication_sms = plan.parallel.expert > 1 ? 20 : 0;
  plan.overlap_weight_gradients = false;
  plan.schedule = "1f1b";
  const std::int64_t chunks = count(row, "VP", 1);
  sim::complete_parallelism(plan, in.model, in.cluster, plan.name);
  if (chunks > 1 && plan.parallel.pipeline > 1 && plan.micro_batches() % plan.parallel.pipeline == 0) {
    plan.schedule = "interleaved-1f1b";
    plan.chunks = static_cast<int>(chunks);
  }
  return in;
}

const Json& rows_of(const base::JsonFile& document) {
  const Json* rows = document.value.is_array() ? &document.value : nullptr;
  if (document.value.is_object() && document.value.contains("rows")) rows = &document.value["rows"];
  if (rows == nullptr || !rows->is_array())
    throw base::Error("holds no list of runs", document.path, "write [...] or {\"rows\": [...]}");
  return *rows;
}

}  // namespace

std::vector<PublishedRun> published_runs(const std::string& file, const std::string& configs) {
  const base::JsonFile document = base::load_json(file, std::size_t{64} << 20);
  const Names names(configs);
  std::vector<PublishedRun> runs;
  for (const Json& row : rows_of(document)) {
    if (!row.is_object()) continue;
    try {
      runs.push_back({text(row, "id"), base::printable(text(row, "model")), inputs_of(row, configs, names)});
    } catch (const Skip&) {  // add_runs lists them
    } catch (const base::Error&) {
    }
  }
  return runs;
}

void add_runs(Validation& out, const std::string& file, const std::string& configs) {
  const base::JsonFile document = base::load_json(file, std::size_t{64} << 20);
  const Json& rows = rows_of(document);
  const Names names(configs);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Json& row = rows[i];
    std::string id = row.is_object() ? text(row, "id") : "";
    if (id.empty()) id = fmt::format("row {}", i);
    try {
      if (!row.is_object()) throw Skip{"not an object"};
      const double rate = positive(row, "tokens_per_s_per_gpu"), step = positive(row, "step_time_s");
      if (rate <= 0.0 && step <= 0.0) throw Skip{"neither tokens/s nor a step time is stated"};
      const sim::Inputs in = inputs_of(row, configs, names);
      const sim::Result result = sim::simulate_plan(in);
      if (result.largest_memory_bytes() > largest_overcommit * result.memory_capacity_bytes) {
        throw Skip{
            fmt::format("needs {:.0f} GiB a GPU here, far more than it has: the row must have run a smaller model",
                        result.largest_memory_bytes() / base::gibi)};
      }
      const std::string cls =
          fmt::format("runs {} {} {}", in.cluster.name, model::experts_of(in.model) != nullptr ? "moe" : "dense",
                      in.plan.precision == model::Precision::bf16 ? "bf16" : "fp8");
      const double reported = step > 0.0 ? step : result.tokens_per_step / (rate * static_cast<double>(in.plan.gpus));
      out.rows.push_back(
          {fmt::format("{} {}", id, base::printable(text(row, "model"))), cls, reported, result.step_time_s, "s"});
    } catch (const Skip& skip) {
      out.skipped.push_back({id, skip.reason});
    } catch (const base::Error& error) {
      out.skipped.push_back({id, error.what()});
    }
  }
}

Validation validate_runs(const std::string& file, const std::string& configs) {
  Validation out;
  add_runs(out, file, configs);
  if (out.rows.empty()) {
    throw base::Error("no row can be modelled", file,
                      out.skipped.empty() ? "the list is empty" : "the first: " + out.skipped.front().reason);
  }
  summarise(out);
  return out;
}

}  // namespace hourglass::planner
