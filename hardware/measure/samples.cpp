// The measurement file. Shapes are plain keys beside the op, so that a line can be read and written by hand; "common"
// holds what all samples of a file share. Every op has a fixed list of shape keys: a missing one, or one that belongs
// to another op, is an error.
#include "hardware/measure/samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"

namespace hourglass::hardware {

namespace {

constexpr std::size_t largest_samples_bytes = std::size_t{64} << 20;
constexpr std::size_t longest_text = 4096;  // "common" gives it to every sample of a file

const std::map<std::string, std::vector<std::string>>& all_shape_keys() {
  static const std::map<std::string, std::vector<std::string>> keys = [] {
    std::map<std::string, std::vector<std::string>> all = {
        {"gemm", {"m", "n", "k"}},
        {"quantized_linear", {"m", "n", "k"}},
        {"grouped_gemm", {"groups", "m", "n", "k"}},
        {"attention", {"batch", "q_length", "kv_length", "heads", "kv_heads", "qk_dim", "v_dim", "causal", "backward"}},
        {"send_recv", {"bytes", "same_node"}},
        {"router", {"tokens", "hidden", "experts"}},
    };
    for (const char* op : {"norm", "rotary", "activation", "cast", "permute", "elementwise"}) all[op] = {"bytes"};
    for (const char* op : {"all_reduce", "all_gather", "reduce_scatter", "all_to_all"})
      all[op] = {"bytes", "ranks", "ranks_per_node"};
    for (const char* op : {"dispatch", "combine"}) {
      all[op] = {"tokens",           "hidden", "top_k",          "experts",     "groups",
                 "groups_per_token", "ranks",  "ranks_per_node", "token_bytes", "low_latency"};
    }
    return all;
  }();
  return keys;
}

// Experts are divided among groups and ranks, and tokens choose among them: what prices a dispatch divides by all of these.
std::string routing_fault(const Sample& sample) {
  if (sample.op != "dispatch" && sample.op != "combine") return "";
  for (const char* key : {"top_k", "experts", "groups", "groups_per_token", "ranks", "ranks_per_node"}) {
    const double value = sample.at(key);
    if (!(value >= 1.0 && value <= 1e6 && value == std::floor(value))) return fmt::format("{} is {}", key, value);
  }
  for (const auto& [small, large] : {std::pair{"top_k", "experts"},
                                     {"groups", "experts"},
                                     {"ranks", "experts"},
                                     {"groups_per_token", "groups"},
                                     {"ranks_per_node", "ranks"}}) {
    if (sample.at(small) > sample.at(large))
      return fmt::format("{} is {}, more than {} = {}", small, sample.at(small), large, sample.at(large));
  }
  return "";
}

Sample read_sample(const base::Json& value, const base::Json& common, const std::string& file,
                   const std::string& path) {
  base::Json merged = common;
  merged.update(value);
  base::Fields fields(merged, file, path);
  Sample sample;
  sample.op = fields.text("op");
  if (!all_shape_keys().contains(sample.op)) {
    std::vector<std::string> known;
    for (const auto& [op, keys] : all_shape_keys()) known.push_back(op);
    fields.fail("op", fmt::format("unknown operator '{}'", base::printable(sample.op)),
                base::suggestion(sample.op, known));
  }
  sample.dtype = fields.text_or("dtype", "bf16");
  if (fields.has("recipe")) sample.recipe = fields.choice("recipe", {"block", "tensor"});
  for (const std::string& key : shape_keys(sample.op)) sample.shape[key] = fields.number(key, 0.0, 1e18);
  sample.seconds = fields.number("us", 1e-6, 1e12) * base::micro;
  sample.weight_gradient = fields.flag_or("weight_gradient", false);
  sample.spread = fields.number_or("spread", 0.0, 0.0, 100.0);
  sample.runs = fields.integer_or("runs", 0);
  sample.sms = fields.integer_or("sms", 0, 0, 4096);
  sample.beside = fields.text_or("beside", "");
  if (fields.has("timing")) sample.timing = fields.choice("timing", {"kernel", "call"});
  sample.name = fields.text_or("name", "");
  sample.source = fields.text_or("source", "");
  for (const auto& [key, text] : {std::pair<const char*, const std::string&>{"beside", sample.beside},
                                  {"name", sample.name},
                                  {"source", sample.source},
                                  {"dtype", sample.dtype}}) {
    if (text.size() > longest_text)
      fields.fail(key, fmt::format("is {} bytes long", text.size()), fmt::format("write at most {}", longest_text));
  }
  fields.finish();
  const std::string fault = routing_fault(sample);
  if (!fault.empty()) fields.fail("op", fault, "correct the sample");
  return sample;
}

}  // namespace

double Sample::at(const std::string& key) const {
  const auto found = shape.find(key);
  if (found == shape.end()) throw base::Error(fmt::format("a {} sample has no {}", op, key), "samples");
  return found->second;
}

const std::vector<std::string>& shape_keys(const std::string& op) {
  const auto found = all_shape_keys().find(op);
  if (found == all_shape_keys().end())
    throw base::Error(fmt::format("unknown operator '{}'", base::printable(op)), "samples");
  return found->second;
}

std::string sample_fault(const Sample& sample) {
  constexpr double shortest = 1e-12, longest = 1e6;  // the bounds of read_samples
  if (!(sample.seconds >= shortest && sample.seconds <= longest))
    return fmt::format("the time is {} s", sample.seconds);
  for (const std::string& key : shape_keys(sample.op)) {
    const auto found = sample.shape.find(key);
    if (found == sample.shape.end()) return fmt::format("there is no {}", key);
    if (!(found->second >= 0.0 && found->second <= 1e18)) return fmt::format("{} is {}", key, found->second);
  }
  return routing_fault(sample);
}

SampleSet read_samples(const base::Json& document, const std::string& file) {
  base::Fields fields(document, file);
  SampleSet set;
  set.path = file;
  const std::string schema = fields.text("schema");
  if (!schema.starts_with("1."))
    fields.fail("schema", fmt::format("version {} is not read here", base::printable(schema)), "use 1.x");
  base::Fields device = fields.object("device");
  set.device = device.text("name");
  for (const char* fact :
       {"sms", "threads", "clock_MHz", "memory", "driver", "cuda", "nccl", "compiler", "libraries"}) {
    if (device.has(fact)) set.device_facts[fact] = device.text(fact);
  }
  device.finish();
  if (fields.has("provenance")) set.provenance = fields.any("provenance");
  set.source = fields.text("source");
  if (set.source.empty()) fields.fail("source", "the citation is empty", "say where the figures come from");
  const base::Json common = fields.has("common") ? fields.any("common") : base::Json::object();
  if (!common.is_object()) fields.fail("common", "is not an object", "list what all samples share");
  const base::Json& samples = fields.any("samples");
  fields.finish();
  if (!samples.is_array()) fields.fail("samples", "is not a list", "write a list of objects");
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (!samples[i].is_object())
      fields.fail("samples", fmt::format("item {} is not an object", i), "write a list of objects");
    set.samples.push_back(read_sample(samples[i], common, file, fmt::format("/samples/{}", i)));
  }
  return set;
}

SampleSet load_samples(const std::string& path) {
  return read_samples(base::load_json(path, largest_samples_bytes).value, path);
}

base::Json samples_json(const SampleSet& set) {
  base::Json samples = base::Json::array();
  for (const Sample& s : set.samples) {
    base::Json each = {{"op", s.op}, {"dtype", s.dtype}};
    for (const std::string& key : shape_keys(s.op)) each[key] = s.at(key);
    each["us"] = s.seconds / base::micro;
    if (!s.recipe.empty()) each["recipe"] = s.recipe;
    if (s.weight_gradient) each["weight_gradient"] = true;
    if (s.spread > 0.0) each["spread"] = s.spread;
    if (s.runs > 0) each["runs"] = s.runs;
    if (s.sms > 0) each["sms"] = s.sms;
    for (const auto& [key, value] : {std::pair<const char*, const std::string&>{"beside", s.beside},
                                     {"timing", s.timing},
                                     {"name", s.name},
                                     {"source", s.source}}) {
      if (!value.empty()) each[key] = value;
    }
    samples.push_back(std::move(each));
  }
  base::Json device = {{"name", set.device}};
  for (const auto& [fact, value] : set.device_facts) device[fact] = value;
  base::Json document = {{"schema", "1.0.0"}, {"device", std::move(device)}, {"source", set.source}};
  if (!set.provenance.is_null()) document["provenance"] = set.provenance;
  document["samples"] = std::move(samples);
  return document;
}

}  // namespace hourglass::hardware
