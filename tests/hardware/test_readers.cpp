#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "hardware/cluster.h"
#include "hardware/compute_cost.h"
#include "hardware/network_cost.h"
#include "hardware/profile.h"

using namespace hourglass;
using base::Json;
using hardware::Cluster;
using hardware::Profile;

namespace {

const std::string configs = std::string(HOURGLASS_SOURCE_DIR) + "/configs/";

std::vector<std::string> shipped(const std::string& kind) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(configs + kind)) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  }
  return names;
}

Json document(const std::string& kind, const std::string& name) {
  return base::load_json(configs + kind + "/" + name + ".json").value;
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const base::Error& e) {
    return e.what();
  }
  return "no error";
}

struct Bad {
  std::string what, says;
  std::function<void(Json&)> break_it;
};

void check_refused(const std::vector<Bad>& table, const Json& good, const std::function<void(const Json&)>& read) {
  CHECK(message_of([&] { read(good); }) == "no error");
  for (const Bad& bad : table) {
    CAPTURE(bad.what);
    Json json = good;
    bad.break_it(json);
    const std::string message = message_of([&] { read(json); });
    CAPTURE(message);
    CHECK(message.starts_with("f.json /"));
    CHECK(message.find(bad.says) != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
  }
}

// One key anywhere in the document gets a value that does not belong there.
void mutate(Json& json, base::Random& random) {
  static const std::vector<Json> values = {
      nullptr, true, "", "text", 0, -1, 1e30, 1e300, ~std::uint64_t{0}, Json::array(), Json::object()};
  auto at = json.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(random.below(json.size())));
  if (at->is_object() && !at->empty() && random.below(4) > 0) return mutate(*at, random);
  const std::string key = at.key();
  if (random.below(4) == 0)
    json.erase(key);
  else
    json[key] = values[random.below(values.size())];
}

}  // namespace

TEST_CASE("every shipped cluster reads, in SI units, and names a profile that is shipped for it") {
  CHECK(shipped("clusters").size() >= 4);
  for (const std::string& name : shipped("clusters")) {
    CAPTURE(name);
    const Cluster cluster = hardware::read_cluster(document("clusters", name), name);
    CHECK(cluster.name == name);
    CHECK(cluster.gpus % cluster.gpus_per_host == 0);
    CHECK(cluster.nvlink_bandwidth > cluster.nic_bandwidth);
    CHECK((cluster.fp8_flops == 0.0 || cluster.fp8_flops > cluster.bf16_flops));
    const Profile profile = hardware::read_profile(document("profiles", cluster.profile), cluster.profile);
    CHECK(profile.name == cluster.profile);
    CHECK((cluster.fp8_flops > 0.0) == (profile.gemm_fp8.main_loop_efficiency > 0.0));
  }
  const Cluster h800 = hardware::read_cluster(document("clusters", "h800"), "h800");
  CHECK(h800.sms == 132);
  CHECK(h800.bf16_flops == doctest::Approx(989.4e12));
  CHECK(h800.nvlink_bandwidth == 200e9);
  // CUDA's figure in deepseek-ai/profile-data train.json @4496024.
  CHECK(h800.memory_bytes == doctest::Approx(84943110144.0).epsilon(1e-3));
}

TEST_CASE("every shipped profile reads, every class with a source and an error; FP8 classes may be absent") {
  for (const std::string& name : shipped("profiles")) {
    CAPTURE(name);
    const Profile profile = hardware::read_profile(document("profiles", name), name);
    CHECK(profile.name == name);
    const auto origins = hardware::origins(profile);
    CHECK(origins.size() == (name == "a100" || name == "cpu" ? 17 : 21));
    for (const auto& origin : origins) {
      CAPTURE(origin.name);
      CHECK_FALSE(origin.basis.source.empty());
      CHECK(origin.basis.relative_error > 0.0);
    }
  }
}

TEST_CASE("a cluster without a citation, with an unknown key or an impossible figure is refused by file and key") {
  const std::vector<Bad> table = {
      {"no sources", "/sources: is missing", [](Json& j) { j.erase("sources"); }},
      {"a missing citation", "/sources/nic_GBps: is missing", [](Json& j) { j["sources"].erase("nic_GBps"); }},
      {"an empty citation", "/sources/sms: the citation is empty", [](Json& j) { j["sources"]["sms"] = ""; }},
      {"a citation of nothing", "/sources/smss: unknown key; did you mean 'sms'?",
       [](Json& j) { j["sources"]["smss"] = "x"; }},
      {"an unknown key", "/nic_GBs: unknown key; did you mean 'nic_GBps'?", [](Json& j) { j["nic_GBs"] = 50; }},
      {"a negative bandwidth", "/nvlink_GBps: -1 is out of range", [](Json& j) { j["nvlink_GBps"] = -1; }},
      {"no SMs", "/sms: 0 is out of range", [](Json& j) { j["sms"] = 0; }},
      {"half a GPU", "/gpus: expected a whole number", [](Json& j) { j["gpus"] = 0.5; }},
      {"a word for a number", "/bf16_TFLOPS: expected a number, found a string",
       [](Json& j) { j["bf16_TFLOPS"] = "989"; }},
      {"no profile", "/profile: is missing", [](Json& j) { j.erase("profile"); }},
  };
  check_refused(table, document("clusters", "h800"), [](const Json& j) { hardware::read_cluster(j, "f.json"); });
}

TEST_CASE("a profile without a source, with an unknown key, origin or impossible figure is refused by file and key") {
  const std::vector<Bad> table = {
      {"no source", "/gemm_fp8/source: is missing", [](Json& j) { j["gemm_fp8"].erase("source"); }},
      {"an empty source", "/norm/source: the citation is empty", [](Json& j) { j["norm"]["source"] = ""; }},
      {"a misspelt origin", "/rdma/origin: 'mesured' is not a choice; did you mean 'measured'?",
       [](Json& j) { j["rdma"]["origin"] = "mesured"; }},
      {"no error", "/cast/relative_error: is missing", [](Json& j) { j["cast"].erase("relative_error"); }},
      {"a missing class", "/attention: is missing", [](Json& j) { j.erase("attention"); }},
      {"an unknown class", "/gem_fp8: unknown key; did you mean 'gemm_fp8'?",
       [](Json& j) { j["gem_fp8"] = Json::object(); }},
      {"an unknown key", "/nvlink/step_ns: unknown key", [](Json& j) { j["nvlink"]["step_ns"] = 1; }},
      {"a negative launch", "/gemm_bf16/launch_us: -2 is out of range",
       [](Json& j) { j["gemm_bf16"]["launch_us"] = -2; }},
      {"no efficiency", "/permute/efficiency: 0 is out of range", [](Json& j) { j["permute"]["efficiency"] = 0; }},
      {"a class that is a number", "in_situ: expected an object", [](Json& j) { j["in_situ"] = 1.2; }},
  };
  check_refused({table.begin(), table.end() - 1}, document("profiles", "h800"),
                [](const Json& j) { hardware::read_profile(j, "f.json"); });
  Json json = document("profiles", "h800");
  table.back().break_it(json);
  CHECK(message_of([&] { hardware::read_profile(json, "f.json"); }) ==
        "f.json /in_situ: expected an object, found a number");
}

TEST_CASE("fuzz: a mutated cluster or profile is refused with an Error or gives a finite, positive GEMM time") {
  base::Random random(5);
  const Json cluster_json = document("clusters", "h800"), profile_json = document("profiles", "h800");
  int read = 0, refused = 0, unsound = 0;
  for (int round = 0; round < 4000; ++round) {
    Json c = cluster_json, p = profile_json;
    mutate(round % 2 == 0 ? c : p, random);
    try {
      const Cluster cluster = hardware::read_cluster(c, "f.json");
      const Profile profile = hardware::read_profile(p, "f.json");
      const double seconds =
          hardware::gemm_seconds(cluster, profile, {1, 4096, 4096, 4096, hardware::MathType::bf16, 2.0, false}, {});
      unsound += std::isfinite(seconds) && seconds > 0.0 ? 0 : 1;
      ++read;
    } catch (const base::Error&) {
      ++refused;
    }
  }
  CHECK(unsound == 0);
  CHECK(read > 20);
  CHECK(refused > 2000);
}

TEST_CASE("slowing one class slows what that class prices, by the factor, and nothing else") {
  using hardware::Collective;
  using hardware::MathType;
  using hardware::MoeDirection;
  const Cluster h800 = hardware::read_cluster(document("clusters", "h800"), "h800");
  const Profile profile = hardware::read_profile(document("profiles", "h800"), "h800");
  // A probe for each class, in the order of `origins`: large, and bound by what the class is about.
  const auto probes = [&](const Profile& p) {
    const auto gemm = [&](std::int64_t groups, MathType math) {
      return hardware::gemm_seconds(h800, p, {groups, 8192, 8192, 8192, math, 2.0, false}, {});
    };
    const auto memory = [&](const hardware::MemoryClass& kernel) {
      return hardware::memory_seconds(h800, p, kernel, 1e9, {});
    };
    return std::vector<double>{gemm(1, MathType::bf16),
                               gemm(1, MathType::fp8),
                               gemm(1, MathType::fp8_tensor),
                               gemm(4, MathType::bf16),
                               gemm(4, MathType::fp8),
                               hardware::attention_seconds(h800, p, 1e12, 4096, true, {}),
                               memory(p.norm),
                               memory(p.rotary),
                               memory(p.activation),
                               memory(p.cast),
                               memory(p.permute),
                               memory(p.elementwise),
                               memory(p.optimizer),
                               hardware::router_seconds(h800, p, 1e8, 1e6, false, {}),
                               hardware::collective_seconds(h800, p, Collective::all_gather, 1e9, {8, 8}),
                               hardware::send_seconds(h800, p, 1e8, true),
                               hardware::collective_seconds(h800, p, Collective::all_gather, 1e9, {16, 1}),
                               hardware::moe_seconds(h800, p, {1e8, 0.0, 4.0}, MoeDirection::dispatch, 0, {}),
                               hardware::moe_seconds(h800, p, {1e8, 3.0, 0.0}, MoeDirection::dispatch, 0, {}),
                               hardware::low_latency_moe_seconds(h800, p, 1024.0, 7408.0, {16, 8}, true),
                               p.in_situ.skew_share};
  };
  const std::vector<double> before = probes(profile);
  const auto origins = hardware::origins(profile);
  REQUIRE(origins.size() == before.size());
  for (std::size_t slow = 0; slow < origins.size(); ++slow) {
    CAPTURE(origins[slow].name);
    const std::vector<double> after = probes(hardware::slowed(profile, origins[slow].name, 1.5));
    for (std::size_t i = 0; i < before.size(); ++i) {
      CAPTURE(origins[i].name);
      CHECK(after[i] == doctest::Approx(before[i] * (i == slow ? 1.5 : 1.0)).epsilon(1e-12));
    }
  }
  CHECK(probes(hardware::slowed(profile, "no such class", 1.5)) == before);
}
