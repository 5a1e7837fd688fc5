#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/describe.h"
#include "base/error.h"
#include "sim/training/plan.h"

using namespace hourglass;
using base::DescribedKey;
using base::Json;

namespace {

// Plans that a reader accepts: every key at random, then what several keys must fulfil together.
class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}

  Json plan() {
    Json out = object(sim::plan_keys());
    for (Json& stage : listed(out, "stages")) one_of(stage, {"tokens", "steps", "gpu_hours"});
    for (Json& stage : listed(out, "stages")) {
      if (!stage.contains("batch_ramp") || stage["batch_ramp"].is_null()) continue;
      if (!stage.contains("tokens"))
        stage.erase("batch_ramp");
      else
        stage["batch_ramp"]["tokens"] = std::max(1.0, stage["tokens"].get<double>() / 2.0);
    }
    std::vector<std::string> stages;
    for (Json& stage : listed(out, "stages")) stages.push_back(stage["name"]);
    for (Json& run : listed(out, "runs")) {
      one_of(run, {"plan", "stage", "gpu_hours"});
      for (const char* part : {"tokens", "share"}) run.erase(part);
      if (!run.contains("stage")) continue;
      run.erase("stage");
      if (stages.empty()) {
        run["gpu_hours"] = 5.0;
      } else {
        run["stage"] = stages[below(stages.size())];
        run["share"] = 0.25;
      }
    }
    for (const char* key : {"slow_gpus", "slow_nics", "flapping_nics"}) {
      if (!out.contains("variation") || out["variation"].is_null()) break;
      for (Json& part : listed(out["variation"], key)) part["gpu"] = below(out["gpus"].get<std::size_t>());
    }
    if (out.contains("variation") && !out["variation"].is_null()) {
      for (Json& nic : listed(out["variation"], "flapping_nics")) nic["down_s"] = nic["every_s"].get<double>() / 3.0;
    }
    if (out.contains("network") && !out["network"].is_null()) out["network"].erase("expert_loads");
    if (out.contains("uncertainty") && !out["uncertainty"].is_null()) out["uncertainty"].erase("expert_imbalance");
    return out;
  }

 private:
  std::size_t below(std::size_t count) { return engine_() % count; }

  static Json& listed(Json& object, const std::string& key) {
    static Json none;
    none = Json::array();
    return object.contains(key) && object[key].is_array() ? object[key] : none;
  }

  void one_of(Json& object, const std::vector<std::string>& keys) {
    const std::string kept = keys[below(keys.size())];
    for (const std::string& key : keys) {
      if (key != kept) object.erase(key);
    }
    if (!object.contains(kept) || object[kept].is_null())
      object[kept] = kept == "plan" ? Json("a.json") : kept == "stage" ? Json("a") : Json(7.0);
  }

  Json object(const std::vector<DescribedKey>& keys) {
    Json out = Json::object();
    for (const DescribedKey& each : keys) {
      if (!each.key.required && below(2) == 0) continue;
      if (!each.key.required && below(10) == 0)
        out[each.key.name] = nullptr;
      else
        out[each.key.name] = value(each);
    }
    return out;
  }

  Json value(const DescribedKey& each) {
    if (!each.list) return item(each);
    Json out = Json::array();
    for (std::size_t i = below(3); i > 0; --i) out.push_back(item(each));
    return out;
  }

  Json item(const DescribedKey& each) {
    const double low = each.key.low, high = std::min(each.key.high, 1e12);
    const double number =
        std::min(high, low + (high - low) * std::pow(10.0, -std::uniform_real_distribution<>(0.0, 12.0)(engine_)));
    switch (each.type) {
      case base::KeyType::number:
        return number;
      case base::KeyType::integer:
        return static_cast<std::int64_t>(number);
      case base::KeyType::flag:
        return below(2) == 0;
      case base::KeyType::text:
        return each.key.choices.empty() ? "text" + std::to_string(below(9)) + ".json"
                                        : each.key.choices[below(each.key.choices.size())];
      case base::KeyType::object:
        return object(each.inside);
      case base::KeyType::map:
        return Json::object();
      case base::KeyType::special:
        break;
    }
    if (each.key.name == "recompute") {
      if (below(3) == 0) return Json::array({"none"});
      return Json::array({"norm", "core_attn"});
    }
    if (each.key.name == "layers_per_stage") return below(2) == 0 ? Json("balanced") : Json::array({3, 4});
    REQUIRE(each.key.name == "prices_per_gpu_hour");
    return {{"EUR", 1.25}, {"CHF", 2}};
  }

  std::mt19937 engine_;
};

// What of JSON Schema our files use.
bool has_type(const Json& value, const std::string& type) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_boolean();
  if (type == "string") return value.is_string();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  if (type == "integer") return value.is_number() && std::floor(value.get<double>()) == value.get<double>();
  return type == "number" && value.is_number();
}

bool valid(const Json& schema, const Json& value) {
  if (const auto any = schema.find("anyOf"); any != schema.end())
    return std::any_of(any->begin(), any->end(), [&](const Json& each) { return valid(each, value); });
  if (schema.contains("const") && schema["const"] != value) return false;
  if (schema.contains("enum") && std::find(schema["enum"].begin(), schema["enum"].end(), value) == schema["enum"].end())
    return false;
  if (schema.contains("type")) {
    const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
    if (std::none_of(types.begin(), types.end(), [&](const Json& type) { return has_type(value, type); })) return false;
  }
  if (value.is_number() && schema.contains("minimum") && value < schema["minimum"]) return false;
  if (value.is_number() && schema.contains("maximum") && value > schema["maximum"]) return false;
  if (value.is_array() && schema.contains("items"))
    return std::all_of(value.begin(), value.end(), [&](const Json& each) { return valid(schema["items"], each); });
  if (!value.is_object()) return true;
  for (const Json& key : schema.value("required", Json::array())) {
    if (!value.contains(key.get<std::string>())) return false;
  }
  for (const auto& [key, each] : value.items()) {
    if (schema.value("properties", Json::object()).contains(key)) {
      if (!valid(schema["properties"][key], each)) return false;
    } else if (schema.contains("additionalProperties")) {
      const Json& others = schema["additionalProperties"];
      if (others.is_boolean() ? !others.get<bool>() : !valid(others, each)) return false;
    }
  }
  return true;
}

// Every object inside, the document among them.
void objects_of(Json& value, std::vector<Json*>& out) {
  if (value.is_object()) out.push_back(&value);
  if (value.is_structured()) {
    for (Json& each : value) objects_of(each, out);
  }
}

std::string error_of(const Json& document) {
  try {
    sim::read_plan(document, "plan.json");
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

const Json& schema() {
  static const Json schema = base::schema_json(sim::plan_keys(), "input-plan", "A plan.");
  return schema;
}

Json small() {
  return {{"name", "a"},           {"model", "m.json"},        {"cluster", "c.json"}, {"gpus", 8},
          {"sequence_length", 16}, {"precision", "fp8_block"}, {"global_batch", 32.0}};
}

}  // namespace

TEST_CASE("a plan that is read is written as one that is read as the same") {
  for (unsigned seed = 0; seed < 300; ++seed) {
    const Json document = Random(seed).plan();
    CAPTURE(document.dump());
    REQUIRE(error_of(document) == "");
    const sim::Plan plan = sim::read_plan(document, "plan.json");
    const Json written = sim::plan_json(plan);
    REQUIRE(error_of(written) == "");
    CHECK(sim::plan_json(sim::read_plan(written, "plan.json")) == written);
    CHECK(valid(schema(), document));
    CHECK(valid(schema(), written));
  }
}

TEST_CASE("reader and schema refuse an unknown key wherever it stands") {
  for (unsigned seed = 300; seed < 340; ++seed) {
    const Json accepted = Random(seed).plan();
    std::vector<Json*> all;
    Json counted = accepted;
    objects_of(counted, all);
    for (std::size_t i = 0; i < all.size(); ++i) {
      Json document = accepted;
      std::vector<Json*> objects;
      objects_of(document, objects);
      const bool prices = objects[i]->contains("EUR");
      (*objects[i])["gpuz"] = 1;
      CAPTURE(document.dump());
      CHECK(error_of(document) != "");
      if (!prices) CHECK(!valid(schema(), document));  // names of currencies are a pattern, which `valid` does not know
    }
  }
}

TEST_CASE("what a key may not be is refused by reader and schema alike") {
  const std::pair<const char*, Json> wrong[] = {{"gpus", 0},
                                                {"gpus", "8"},
                                                {"gpus", 2.5},
                                                {"precision", "fp8"},
                                                {"mtp", 1},
                                                {"recompute", Json::array({"norms"})},
                                                {"layers_per_stage", "even"},
                                                {"chunks", 65},
                                                {"stages", Json::array({{{"steps", 5}}})},
                                                {"network", {{"routing", "random"}}},
                                                {"reliability", {{"node_share", 1.5}}},
                                                {"name", nullptr}};
  for (const auto& [key, value] : wrong) {
    Json document = small();
    CHECK(error_of(document) == "");
    CHECK(valid(schema(), document));
    document[key] = value;
    CAPTURE(document.dump());
    CHECK(error_of(document) != "");
    CHECK(!valid(schema(), document));
  }
}

TEST_CASE("all that is missing is said at once; one missing key as before") {
  CHECK(error_of({{"name", "a"}, {"gpus", 8}}) ==
        "plan.json: model, cluster, sequence_length, global_batch and precision are missing; add them");
  Json document = small();
  document.erase("gpus");
  CHECK(error_of(document) == "plan.json /gpus: is missing; add it");
}

TEST_CASE("rules between keys are said with the key's place") {
  const auto with = [](const char* key, const Json& value) {
    Json document = small();
    document[key] = value;
    return error_of(document);
  };
  const Json slow = {{"gpu", 8}, {"factor", 2}};
  CHECK(with("variation", {{"slow_gpus", Json::array({slow})}}) ==
        "plan.json /variation/slow_gpus/0/gpu: 8 is out of range; give a whole number from 0 to 7");
  const Json run = {{"name", "again"}, {"stage", "pre"}, {"share", 0.5}};
  CHECK(with("runs", Json::array({run})) == "plan.json /runs/0/stage: 'pre' is not a choice; the choices are ");
  CHECK(with("prices_per_gpu_hour", {{"USD", 2}}) ==
        "plan.json /prices_per_gpu_hour/USD: is the cluster's; set cluster.price_USD_per_gpu_hour");
  CHECK(with("uncertainty", {{"expert_imbalance", {{"p10", 1.3}, {"p50", 1.2}, {"p90", 1.4}}}}) ==
        "plan.json /uncertainty/expert_imbalance/p50: the quantiles fall; give p10 <= p50 <= p90");
  CHECK(with("$schema", "../schema/input-plan.schema.json") == "");
}

TEST_CASE("rules that a plan breaks are listed, each once; a legal plan breaks none") {
  const std::string file = std::string(HOURGLASS_SOURCE_DIR) + "/configs/plans/deepseek-v3.json";
  const sim::Inputs inputs = sim::load_inputs(file, {});
  CHECK(sim::violations(inputs.plan, inputs.model, inputs.cluster).empty());
  CHECK(sim::schedule_violations(inputs.plan, inputs.model).empty());
  sim::Plan plan = inputs.plan;
  plan.gpus = 4096;
  plan.parallel.tensor = 3;
  plan.parallel.expert = 96;
  plan.communication_sms = 200;
  std::vector<std::string> rules;
  for (const sim::Violation& each : sim::violations(plan, inputs.model, inputs.cluster, "p.json"))
    rules.push_back(each.rule);
  CHECK(rules == std::vector<std::string>{"cluster", "gpus", "sequence", "heads", "sms", "experts"});
  CHECK(!sim::legal(plan, inputs.model, inputs.cluster));
  CHECK(sim::violations(plan, inputs.model, inputs.cluster, "p.json").front().words() ==
        "p.json: 4096 GPUs asked, cluster h800 has 2048; use fewer, or --set cluster.gpus=N");
  plan = inputs.plan;
  plan.layers_per_stage = {61};
  REQUIRE(sim::schedule_violations(plan, inputs.model).size() == 1);
  CHECK(sim::schedule_violations(plan, inputs.model).front().rule == "split");
  plan.global_batch = 128 * 3;
  CHECK(sim::schedule_violations(plan, inputs.model).front().words() ==
        "dualpipe needs an even number of micro-batches, at least 2p = 32; got 3");
}
