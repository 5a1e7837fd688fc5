// nccl-tests, as text and as the JSON of -J.
//
// A row of the text (src/util.cu): size, count, type, redop, root, then time (us), algbw, busbw and #wrong out of
// place, then the same four in place. Out-of-place times are taken: NCCL's in-place path saves a copy of its own rank's
// part that training code does not have. "N/A" stands for a time that was not measured; such a row is skipped by name.
// "size" is the larger of what a rank sends and receives (all_gather: received, reduce_scatter: sent), which is also
// our `bytes`.
//
// The number of ranks is the number of "# Rank" device lines, the ranks of a node follow from their host names. The
// name of the collective stands only in "# Collective test starting: all_reduce_perf" (its JSON: nowhere but in
// args[0]), so ImportOptions::op can give it.
//
// The JSON holds the whole environment of the job (env[]), which may hold secrets. It is not even parsed into a
// document: the SAX filter below drops that key and all under it, and nothing of it reaches samples or errors.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "hardware/measure/import.h"

namespace hourglass::hardware {

namespace {

using importing::Collector;
using importing::member;

struct Ring {
  std::string op;
  std::int64_t ranks = 0;
  std::map<std::string, std::int64_t> hosts;  // ranks on each
  std::int64_t most_on_a_host = 0;
  std::string device;

  void add(const std::string& host) { most_on_a_host = std::max(most_on_a_host, ++hosts[host]); }
};

// "all_reduce_perf" or "./build/all_reduce_perf" to our op; "" if we model no such collective.
std::string op_of(std::string_view name) {
  name = name.substr(name.find_last_of('/') == std::string_view::npos ? 0 : name.find_last_of('/') + 1);
  std::string op = importing::lower(name);
  if (op.ends_with("_perf")) op.resize(op.size() - 5);
  if (op == "alltoall") op = "all_to_all";
  if (op == "sendrecv") op = "send_recv";
  for (const char* known : {"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send_recv"}) {
    if (op == known) return op;
  }
  return "";
}

std::string dtype_of(std::string_view type) {
  static const std::map<std::string, std::string, std::less<>> names = {{"half", "fp16"},   {"float", "fp32"},
                                                                        {"double", "fp64"}, {"bfloat16", "bf16"},
                                                                        {"f8e4m3", "e4m3"}, {"f8e5m2", "e5m2"}};
  const auto found = names.find(type);
  return found == names.end() ? std::string(type) : found->second;
}

std::int64_t ranks_per_node(const Ring& ring, const ImportOptions& options, std::int64_t ranks) {
  if (options.ranks_per_node > 0) return options.ranks_per_node;
  return ring.most_on_a_host > 0 ? ring.most_on_a_host : ranks;
}

// The shape every row shares. Throws if collective or ranks are unknown.
Sample prototype(const Ring& ring, const ImportOptions& options) {
  Sample sample;
  sample.op = options.op.empty() ? ring.op : op_of(options.op);
  if (sample.op.empty()) {
    throw base::Error(options.op.empty() ? "no line names the collective"
                                         : fmt::format("there is no collective '{}'", base::printable(options.op)),
                      options.file,
                      "name it with --op all_reduce, all_gather, reduce_scatter, all_to_all or send_recv");
  }
  const std::int64_t ranks = options.ranks > 0 ? options.ranks : ring.ranks;
  if (ranks < 1) throw base::Error("no line names the ranks", options.file, "give their number with --ranks");
  const std::int64_t in_node = ranks_per_node(ring, options, ranks);
  if (sample.op == "send_recv") {
    sample.shape["same_node"] = in_node >= ranks ? 1.0 : 0.0;
  } else {
    sample.shape["ranks"] = static_cast<double>(ranks);
    sample.shape["ranks_per_node"] = static_cast<double>(in_node);
  }
  return sample;
}

// "#  Rank  0 Group  0 Pid 123 on host0 device  0 [0000:18:00] NVIDIA H100"
void read_device_line(const std::vector<std::string_view>& words, Ring& ring) {
  const auto on = std::find(words.begin(), words.end(), "on");
  if (on == words.end() || on + 1 == words.end()) return;
  ++ring.ranks;
  ring.add(std::string(on[1]));
  const auto bus = std::find_if(words.begin(), words.end(), [](std::string_view w) { return w.ends_with(']'); });
  if (!ring.device.empty() || bus == words.end()) return;
  for (auto word = bus + 1; word != words.end(); ++word)
    ring.device += (ring.device.empty() ? "" : " ") + std::string(*word);
}

void read_comment(std::string_view line, Ring& ring) {
  const std::vector<std::string_view> words = importing::words(line.substr(1));
  if (!words.empty() && words[0] == "Rank") return read_device_line(words, ring);
  constexpr std::string_view starting = "Collective test starting:";
  const std::size_t at = line.find(starting);
  if (at != std::string_view::npos) ring.op = op_of(importing::trimmed(line.substr(at + starting.size())));
}

void read_row(std::string_view line, const std::string& place, const Sample& common, Collector& out) {
  const std::vector<std::string_view> words = importing::words(line);
  constexpr std::size_t least = 9;  // up to the out-of-place #wrong; what follows depends on -I and the version
  double bytes = 0.0;
  double time_us = 0.0;
  if (words.size() < least)
    return out.skip(place, fmt::format("{} columns instead of {} or more", words.size(), least));
  if (!importing::number(words[0], bytes) || bytes <= 0.0) {
    return out.skip(place, fmt::format("the size is '{}'", base::printable(words[0])));
  }
  if (!importing::number(words[5], time_us)) {
    return out.skip(place, fmt::format("the out-of-place time is '{}'", base::printable(words[5])));
  }
  double wrong = 0.0;
  if (importing::number(words[8], wrong) && wrong > 0.0) return out.skip(place, "the result was wrong");
  Sample sample = common;
  sample.dtype = dtype_of(words[2]);
  sample.shape["bytes"] = bytes;
  sample.seconds = time_us * base::micro;
  out.add(place, std::move(sample));
}

Imported import_text(std::string_view text, const ImportOptions& options) {
  Collector out("nccl-tests", options, text);
  Ring ring;
  bool counted = false;  // the device lines of a second run in the file would be counted again
  importing::each_line(text, [&](std::string_view raw, std::size_t number) {
    const std::string_view line = importing::trimmed(raw);
    if (line.empty()) return;
    if (line.front() == '#') {
      if (counted && line.find("Rank") != std::string_view::npos && line.find(" Pid ") != std::string_view::npos) {
        ring = Ring{};
        counted = false;
      }
      out.other();
      return read_comment(line, ring);
    }
    if (line.front() < '0' || line.front() > '9') return out.other();  // NCCL's own chatter
    out.read();
    counted = true;
    read_row(line, fmt::format("line {}", number), prototype(ring, options), out);
  });
  return out.finish(ring.device);
}

// Parses everything but what stands under a top-level "env".
base::Json without_environment(std::string_view text, const std::string& file) {
  std::array<std::size_t, base::deepest_json + 2> keys{};  // of the open object at each depth
  const base::Json::parser_callback_t keep = [&](int depth, base::Json::parse_event_t event, base::Json& parsed) {
    if (depth > base::deepest_json) throw base::Error("nested too deeply", file, "check the file");
    const auto level = static_cast<std::size_t>(depth);
    if (event == base::Json::parse_event_t::object_start) keys[level + 1] = 0;
    if (event == base::Json::parse_event_t::key && ++keys[level] > base::most_json_keys)
      throw base::Error(fmt::format("an object of more than {} keys", base::most_json_keys), file, "check the file");
    return !(event == base::Json::parse_event_t::key && parsed == "env");
  };
  base::Json document = base::Json::parse(text.begin(), text.end(), keep, false);
  if (!document.is_object()) throw base::Error("not valid JSON", file, "check that it is what -J wrote");
  return document;
}

Ring ring_of(const base::Json& document) {
  Ring ring;
  const base::Json& arguments = member(document, "args");
  if (arguments.is_array() && !arguments.empty() && arguments[0].is_string())
    ring.op = op_of(arguments[0].get<std::string>());
  const base::Json& devices = member(member(document, "config"), "devices");
  for (const base::Json& device : devices.is_array() ? devices : base::Json::array()) {
    ++ring.ranks;
    const base::Json& host = member(device, "hostname");
    if (host.is_string()) ring.add(host.get<std::string>());
    const base::Json& name = member(device, "device_info");
    if (ring.device.empty() && name.is_string()) ring.device = name.get<std::string>();
  }
  return ring;
}

void read_result(const base::Json& result, const std::string& place, const Sample& common, Collector& out) {
  const base::Json& size = member(result, "size");
  const base::Json& time = member(member(result, "out_of_place"), "time");
  const base::Json& wrong = member(member(result, "out_of_place"), "nwrong");
  const base::Json& runs = member(result, "actual_iterations");
  const base::Json& type = member(result, "type");
  if (!size.is_number() || size.get<double>() <= 0.0) return out.skip(place, "there is no size");
  if (!time.is_number()) return out.skip(place, "there is no out-of-place time");
  if (wrong.is_number() && wrong.get<double>() > 0.0) return out.skip(place, "the result was wrong");
  Sample sample = common;
  sample.dtype = type.is_string() ? base::printable(dtype_of(type.get<std::string>())) : "bf16";
  sample.shape["bytes"] = size.get<double>();
  sample.seconds = time.get<double>() * base::micro;
  if (runs.is_number_integer()) sample.runs = std::clamp<std::int64_t>(runs.get<std::int64_t>(), 0, 1'000'000'000);
  out.add(place, std::move(sample));
}

Imported import_json(std::string_view text, const ImportOptions& options) {
  Collector out("nccl-tests JSON", options, text);
  const base::Json document = without_environment(text, options.file);
  const Ring ring = ring_of(document);
  const Sample common = prototype(ring, options);
  const base::Json& results = member(document, "results");
  if (!results.is_array())
    throw base::Error("there is no list 'results'", options.file, "check that it is what -J wrote");
  for (std::size_t i = 0; i < results.size(); ++i) {
    out.read();
    read_result(results[i], fmt::format("result {}", i), common, out);
  }
  return out.finish(ring.device);
}

}  // namespace

Imported import_nccl_tests(std::string_view text, const ImportOptions& options) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '{' ? import_json(text, options)
                                                               : import_text(text, options);
}

}  // namespace hourglass::hardware
