// The prints of DeepEP's tests.
//
//   [tuning] Best dispatch (FP8): SMs 24, NVL chunk 20, RDMA chunk 16: 30 + 1234 us, 43.21 GB/s (RDMA), 140.00 GB/s
//   (NVL) [tuning] Best combine: SMs 24, NVL chunk 4, 158.00 GB/s (NVL), t: 560.10 us [rank 0] Dispatch
//   bandwidth: 39.10 GB/s, avg_t=192.00 us | Combine bandwidth: 40.00 GB/s, avg_t=360.00 us
//   * EP:   0/64 | dispatch: 43 GB/s (SO), 158 GB/s (SU), 812.345 us, 123 bytes | copy: 900 GB/s, 55.1 us  (V2,
//   elastic)
//
// "30 + 1234 us" is notify plus transfer: the transfer is taken, because notify waits for peers (network_cost models
// that as skew). "copy" is a local pass and no communication. Only "Best" lines are read; the tuning lines before them
// are chatter.
//
// Where a line prints a rate only, the time follows from the logical bytes by which DeepEP defines the rate (its
// tests): over RDMA one copy for each (token, node) pair, the local node included; over NVLink one for each (token,
// rank) pair; low latency one for each selection. Pairs are those expected of uniform routing; as in the tests, a group
// is a node, of which a token uses four at most. Low-latency lines are taken for the kernels that use NVLink inside a
// node (since June 2025). Bytes of a token: BF16 two a value; FP8 one and a 4-byte scale for each 128; low latency 16
// bytes of header besides.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/units.h"
#include "hardware/measure/import.h"
#include "model/ops/routing.h"

namespace hourglass::hardware {

namespace {

using importing::Collector;

// One figure of a line, before it becomes a sample.
struct DeepEpReading {
  std::string op;
  bool fp8 = false;
  bool low_latency = false;
  double us = 0.0;         // 0: not printed
  double gigabytes = 0.0;  // GB/s; 0: not printed
  bool rdma = false;       // the rate is of RDMA, else of NVLink
  std::int64_t sms = 0;
  std::int64_t ranks = 0;  // 0: not printed
  std::string name;
};

std::int64_t or_default(std::int64_t given, std::int64_t fallback) { return given > 0 ? given : fallback; }

// The number right before `unit` ("1234 us" in "30 + 1234 us, ..."); false if there is none.
bool number_before(std::string_view text, std::string_view unit, double& value) {
  for (std::size_t at = text.find(unit); at != std::string_view::npos; at = text.find(unit, at + 1)) {
    const std::string_view head = importing::trimmed(text.substr(0, at));
    const std::size_t start = head.find_last_of(" =:,(");
    if (importing::number(head.substr(start == std::string_view::npos ? 0 : start + 1), value)) return true;
  }
  return false;
}

bool number_after(std::string_view text, std::string_view key, double& value) {
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos) return false;
  const std::string_view rest = importing::trimmed(text.substr(at + key.size()));
  return importing::number(rest.substr(0, rest.find_first_of(" ,:|")), value);
}

std::int64_t whole(double value) {
  return std::isfinite(value) ? static_cast<std::int64_t>(std::clamp(value, 0.0, 1e6)) : 0;
}

std::int64_t expert_count(const DeepEpReading& r, const ImportOptions& o) {
  return or_default(o.experts, r.low_latency ? 288 : 256);
}

double token_bytes(const DeepEpReading& r, double hidden) {
  if (!r.fp8) return 2.0 * hidden;
  return hidden + hidden / 128.0 * 4.0 + (r.low_latency ? 16.0 : 0.0);
}

// What the tests count as one token's copies: selections; (token, node) pairs, its own node included; or distinct
// ranks.
double copies(const DeepEpReading& r, const Sample& s) {
  if (r.low_latency) return s.at("top_k");
  const auto count = [&](const char* key) { return static_cast<std::int64_t>(s.at(key)); };
  const model::Routing routing = {count("experts"), count("top_k"), count("groups"), count("groups_per_token")};
  return model::expected_parts(routing, r.rdma ? count("ranks") / count("ranks_per_node") : count("ranks"));
}

Sample sample_of(const DeepEpReading& r, const ImportOptions& o) {
  Sample sample;
  sample.op = r.op;
  sample.dtype = r.fp8 ? "e4m3" : "bf16";
  sample.sms = r.sms;
  sample.name = r.name;
  const auto put = [&](const char* key, std::int64_t value) { sample.shape[key] = static_cast<double>(value); };
  put("tokens", or_default(o.tokens, r.low_latency ? 128 : 4096));
  put("hidden", or_default(o.hidden, 7168));
  put("top_k", std::min<std::int64_t>(or_default(o.top_k, 8), 1024));
  put("experts", expert_count(r, o));
  const std::int64_t per_node = std::min(or_default(o.ranks_per_node, 8), r.ranks),
                     nodes = std::max<std::int64_t>(1, r.ranks / per_node);
  put("groups", or_default(o.groups, nodes));
  put("groups_per_token", or_default(o.groups_per_token, std::min<std::int64_t>(nodes, 4)));
  put("ranks", r.ranks);
  put("ranks_per_node", per_node);
  put("low_latency", r.low_latency ? 2 : 0);
  sample.shape["token_bytes"] = token_bytes(r, sample.at("hidden"));
  const double bytes = sample.at("tokens") * copies(r, sample) * sample.at("token_bytes");
  sample.seconds = r.us > 0.0 ? r.us * base::micro : r.gigabytes > 0.0 ? bytes / (r.gigabytes * base::giga) : 0.0;
  return sample;
}

void take(DeepEpReading reading, const std::string& place, const ImportOptions& options, Collector& out) {
  if (options.ranks > 0 || reading.ranks == 0) reading.ranks = options.ranks;
  if (reading.ranks < 1) {
    throw base::Error("no line names the number of ranks", options.file, "give it with --ranks");
  }
  if (reading.us <= 0.0 && reading.gigabytes <= 0.0) return out.skip(place, "there is neither a time nor a rate");
  const std::int64_t experts = expert_count(reading, options);
  if (reading.ranks > experts || options.groups > experts) {
    return out.skip(place, fmt::format("{} experts are fewer than the {} ranks", experts, reading.ranks));
  }
  out.add(place, sample_of(reading, options));
}

// "[tuning] Best dispatch (FP8): ..."
void read_tuning(std::string_view line, const std::string& place, const ImportOptions& options, Collector& out) {
  DeepEpReading r;
  r.op = line.find("Best dispatch") != std::string_view::npos ? "dispatch" : "combine";
  r.fp8 = line.find("(FP8)") != std::string_view::npos;
  double value = 0.0;
  if (number_before(line, " us", value)) r.us = value;
  r.rdma = number_before(line, "GB/s (RDMA)", value);
  if (r.rdma || number_before(line, "GB/s (NVL)", value)) r.gigabytes = value;
  if (number_after(line, "SMs ", value)) r.sms = std::min<std::int64_t>(whole(value), 4096);
  take(r, place, options, out);
}

// "Dispatch bandwidth: 39.10 GB/s, avg_t=192.00 us | Combine bandwidth: ..."
void read_low_latency(std::string_view line, const std::string& place, const ImportOptions& options, Collector& out) {
  const std::size_t close = line.find(']');
  const std::string rank(importing::trimmed(line.substr(1, close == std::string_view::npos ? 0 : close - 1)));
  for (const char* title : {"Dispatch bandwidth:", "Combine bandwidth:"}) {
    const std::size_t at = line.find(title);
    if (at == std::string_view::npos) continue;
    const std::string_view part = line.substr(at, line.find('|', at) - at);
    DeepEpReading r;
    r.low_latency = true;
    r.op = title[0] == 'D' ? "dispatch" : "combine";
    r.fp8 = r.op == "dispatch";
    r.name = base::printable(rank);
    double value = 0.0;
    if (number_after(part, "avg_t=", value)) r.us = value;
    if (number_before(part, "GB/s", value)) r.gigabytes = value;
    take(r, place, options, out);
  }
}

// "* EP:   0/64 | dispatch: 43 GB/s (SO), 158 GB/s (SU), 812.345 us, N bytes | copy: ..."
void read_elastic(std::string_view line, const std::string& place, const ImportOptions& options, Collector& out) {
  const std::size_t slash = line.find('/');
  double ranks = 0.0;
  if (slash == std::string_view::npos ||
      !importing::number(line.substr(slash + 1, line.find('|') - slash - 1), ranks)) {
    return out.skip(place, "there is no rank/ranks");
  }
  const std::size_t dispatch = line.find("dispatch:");
  const std::size_t at = dispatch != std::string_view::npos ? dispatch : line.find("combine:");
  if (at == std::string_view::npos) return out.skip(place, "there is neither a dispatch nor a combine");
  const std::string_view part = line.substr(at, line.find('|', at) - at);
  DeepEpReading r;
  r.op = dispatch != std::string_view::npos ? "dispatch" : "combine";
  r.fp8 = r.op == "dispatch" && importing::lower(options.dtype) != "bf16";
  r.ranks = whole(ranks);
  double value = 0.0;
  if (number_before(part, " us", value)) r.us = value;
  take(r, place, options, out);  // its rates, "SO" and "SU", count other bytes than the legacy tests: never used
}

}  // namespace

Imported import_deepep(std::string_view text, const ImportOptions& options) {
  Collector out("deepep", options, text);
  importing::each_line(text, [&](std::string_view raw, std::size_t number) {
    const std::string_view line = importing::trimmed(raw);
    const auto has = [&](std::string_view word) { return line.find(word) != std::string_view::npos; };
    const std::string place = fmt::format("line {}", number);
    const bool tuning = has("Best dispatch") || has("Best combine");
    const bool low_latency = line.starts_with("[rank") && (has("Dispatch bandwidth:") || has("Combine bandwidth:"));
    const bool elastic = line.starts_with("* EP:");
    if (line.empty()) return;
    if (!tuning && !low_latency && !elastic) return out.other();
    out.read();
    if (tuning) return read_tuning(line, place, options, out);
    if (low_latency) return read_low_latency(line, place, options, out);
    read_elastic(line, place, options, out);
  });
  return out.finish();
}

}  // namespace hourglass::hardware
