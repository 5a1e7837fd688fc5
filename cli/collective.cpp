#include <fmt/format.h>

#include <algorithm>

#include "base/configs.h"
#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "cli/costs.h"
#include "cli/network.h"
#include "hardware/profile.h"
#include "reports/network.h"

namespace hourglass::cli {

namespace {

struct CollectiveOptions {
  std::int64_t ranks = 64, tokens = 0, experts = 256, top_k = 8, nodes_per_token = 4, hidden = 7168, sms = 24;
  std::uint64_t seed = 1;
};

// Tokens from a file: {"expert_loads": [...]}, one relative load an expert; or {"experts": N, "tokens": [...]}, for
// each rank a list of tokens, each a list of expert numbers.
hardware::MoeTokens tokens_from(const std::string& path, hardware::MoeRouting routing, std::uint64_t seed,
                                base::Provenance& provenance) {
  const base::JsonFile file = base::load_json(path);
  provenance.inputs.push_back({path, file.text_hash});
  base::Fields fields(file.value, path);
  if (fields.has("expert_loads")) {
    routing.loads = fields.numbers("expert_loads", 0.0, 1e15);
    fields.finish();
    return hardware::draw_tokens(routing, seed);
  }
  const std::int64_t experts = fields.integer("experts", 1, 1 << 20);
  std::vector<std::vector<std::vector<std::int64_t>>> chosen;
  try {
    chosen = fields.any("tokens").get<decltype(chosen)>();
  } catch (const nlohmann::json::exception&) {
    fields.fail("tokens", "is not a list of ranks of tokens of expert numbers",
                "write e.g. [[[0, 5], [3, 4]], [[1, 2]]]");
  }
  fields.finish();
  if (static_cast<std::int64_t>(chosen.size()) != routing.ranks)
    fields.fail("tokens", fmt::format("has {} ranks, --ranks says {}", chosen.size(), routing.ranks),
                "make them equal");
  return hardware::count_tokens(chosen, experts, routing.ranks_per_node);
}

void check_options(const CollectiveOptions& options) {
  const auto range = [](std::int64_t value, std::int64_t low, std::int64_t high, const char* name) {
    if (value < low || value > high)
      throw base::UsageError(fmt::format("{} is not between {} and {}", value, low, high), name,
                             "see hourglass collective --help");
  };
  range(options.ranks, 1, 1 << 20, "--ranks");
  range(options.experts, 1, 1 << 16, "--experts");
  range(options.top_k, 1, std::min<std::int64_t>(1024, options.experts), "--top-k");
  range(options.nodes_per_token, 0, 1 << 20, "--nodes-per-token");
  range(options.hidden, 1, 1 << 20, "--hidden");
  range(options.sms, 1, 1024, "--sms");
  range(options.tokens, 0, 1 << 20, "--tokens");
}

// The profile measured on this GPU, unless told otherwise.
hardware::Profile load_profile(NetworkInputs& inputs, const Values& values) {
  const std::string path = values.has("profile")
                               ? base::resolve(base::Config::profile, values.text("profile"))
                               : base::resolve(base::Config::profile, inputs.cluster.profile, inputs.cluster_file);
  const base::JsonFile file = base::load_json(path);
  inputs.provenance.inputs.push_back({path, file.text_hash});
  inputs.provenance.profile = inputs.cluster.profile;
  return hardware::read_profile(file.value, path);
}

reports::CollectiveReport moe_report(NetworkInputs& inputs, const Values& values, const CollectiveOptions& options,
                                     hardware::MoeStep step, hardware::RoutePolicy policy) {
  const std::string kernel = values.text("kernel");
  const auto which = static_cast<hardware::MoeKernel>(
      place_among({"normal", "low-latency-rdma", "low-latency"}, kernel, "kernel", "--kernel"));
  const bool normal = which == hardware::MoeKernel::normal;
  hardware::MoeRouting routing;
  routing.ranks = options.ranks;
  routing.ranks_per_node = inputs.cluster.nvlink_domain;
  routing.tokens = options.tokens > 0 ? options.tokens : normal ? 4096 : 128;
  routing.top_k = options.top_k;
  routing.nodes_per_token = options.nodes_per_token;
  routing.loads = hardware::uniform_loads(options.experts);
  if (values.has("skew"))
    routing.loads =
        hardware::log_normal_loads(options.experts, parse_number(values.text("skew"), "--skew"), options.seed);
  if (values.has("skew") && values.has("loads"))
    throw base::UsageError("--skew and --loads exclude each other", "hourglass collective", "give one");
  const hardware::MoeTokens tokens = values.has("loads")
                                         ? tokens_from(values.text("loads"), routing, options.seed, inputs.provenance)
                                     : values.has("skew") ? hardware::draw_tokens(routing, options.seed)
                                                          : hardware::expected_tokens(routing);
  hardware::MoeShape shape;
  shape.hidden = options.hidden;
  shape.sms = options.sms;
  reports::CollectiveReport report;
  report.moe = true;
  report.sms = normal ? shape.sms : 0;
  report.moe_time = hardware::moe_time(inputs.topology, policy, tokens, shape, which, step,
                                       hardware::moe_parameters(load_profile(inputs, values)));
  report.transfer = report.moe_time.transfer;
  report.algorithm = kernel;
  report.bytes = hardware::token_bytes(shape, which, step);
  return report;
}

reports::CollectiveReport plain_report(NetworkInputs& inputs, const Values& values, const CollectiveOptions& options,
                                       const std::string& name, hardware::RoutePolicy policy) {
  const hardware::CollectiveKind kind = hardware::collective_kind(name);
  if (!values.has("bytes"))
    throw base::UsageError("is missing", "--bytes", "give the size of the buffer, e.g. --bytes 1e9");
  const double bytes = parse_number(values.text("bytes"), "--bytes");
  const std::string algorithm = values.text("algorithm");
  place_among({"flat", "hierarchical"}, algorithm, "algorithm", "--algorithm");
  const hardware::Profile profile = load_profile(inputs, values);
  hardware::Network network(inputs.topology, policy, {profile.nvlink.efficiency, profile.rdma.efficiency},
                            options.seed);
  const double startup =
      options.ranks > inputs.cluster.nvlink_domain ? profile.rdma.startup_s : profile.nvlink.startup_s;
  const hardware::CollectiveTime time = hardware::collective_time(
      network, kind,
      algorithm == "flat" ? hardware::CollectiveAlgorithm::flat : hardware::CollectiveAlgorithm::hierarchical,
      options.ranks, bytes, startup);
  reports::CollectiveReport report;
  report.transfer = time.transfer;
  report.algorithm = algorithm;
  report.bytes = bytes;
  report.algorithm_bandwidth = time.algorithm_bandwidth;
  report.bus_bandwidth = time.bus_bandwidth;
  return report;
}

}  // namespace

int collective(const Invocation& invocation) {
  CollectiveOptions chosen;
  Options options;
  options.text("bytes", "N", "size of the buffer, as nccl-tests counts it");
  options.fill("ranks", "N", "GPUs that take part: the first of the cluster (default 64)", chosen.ranks);
  options.text("algorithm", "NAME", "flat (rings, direct) or hierarchical", "flat");
  options.text("routing", "NAME", "ecmp, destination-modulo or adaptive", "destination-modulo");
  options.text("profile", "PROFILE", "profile with the links' efficiencies (default: the cluster's)");
  options.fill("seed", "N", "of the hash and of drawn routings (default 1)", chosen.seed);
  add_network_options(options);
  add_result_format(options);
  options.group("moe-dispatch and moe-combine");
  options.text("kernel", "NAME", "normal, low-latency or low-latency-rdma", "normal");
  options.fill("tokens", "N", "a rank (default 4096; low latency 128)", chosen.tokens);
  options.fill("experts", "N", "default 256", chosen.experts);
  options.fill("top-k", "N", "default 8", chosen.top_k);
  options.fill("nodes-per-token", "N", "default 4; 0: any number", chosen.nodes_per_token);
  options.fill("hidden", "N", "default 7168", chosen.hidden);
  options.fill("sms", "N", "of the normal kernels (default 24)", chosen.sms);
  options.text("skew", "SIGMA",
               "draw every token's experts, loads log-normal (0: uniform); else what uniform routing sends on average");
  options.text("loads", "FILE", "expert loads or a recorded routing (JSON)");
  Values values;
  const Usage usage = {"hourglass collective NAME --bytes N [options]",
                       "One collective on the cluster: time, bandwidths, bytes on each tier, and the link that limits "
                       "it.\nNAME: all-reduce, "
                       "all-gather, reduce-scatter, all-to-all, send-recv, moe-dispatch, moe-combine.",
                       {"name"}};
  if (!parse(invocation, usage, options, values)) return 0;
  const std::string format = format_of(values, result_formats());
  const std::string name = required(values, "name", "NAME");
  std::vector<std::string> names = hardware::collective_names();
  names.insert(names.end(), {"moe-dispatch", "moe-combine"});
  place_among(names, name, "collective", "hourglass collective");
  check_options(chosen);
  const hardware::RoutePolicy policy = hardware::route_policy(values.text("routing"));
  NetworkInputs inputs = read_network(invocation, values, chosen.ranks);
  inputs.provenance.seed = chosen.seed;
  const bool moe_step = name.starts_with("moe-");
  reports::CollectiveReport report =
      moe_step ? moe_report(inputs, values, chosen,
                            name == "moe-dispatch" ? hardware::MoeStep::dispatch : hardware::MoeStep::combine, policy)
               : plain_report(inputs, values, chosen, name, policy);
  report.name = name;
  report.routing = values.text("routing");
  report.ranks = chosen.ranks;
  write_result(format, {[&] { return reports::collective_text(inputs.topology, report); },
                        [&] { return reports::collective_json(inputs.topology, report, inputs.provenance); },
                        {""}});
  return 0;
}

}  // namespace hourglass::cli
