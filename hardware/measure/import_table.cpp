// Plain tables: CSV with a header, and nvbench's JSON. Both name their columns (axes) freely, so both take a map from
// our shape keys to their names. A column that the map does not name is looked for under the key's own name, in any
// case.
//
// CSV: RFC 4180 quoting within a line ("a,b" and "" for a quote); a quoted field does not span lines. The time's column
// is given under its unit: us=latency_us, ms=..., s=..., ns=....
//
// nvbench 1.0.0: a state is one measurement. The time is nv/cold/time/gpu/mean (cold: the L2 cache is flushed before
// each run), its spread nv/cold/time/gpu/stdev/relative, its runs nv/cold/sample_size. All values are strings. A
// skipped state is named with nvbench's reason. States of another device than the first are skipped, because a set has
// one device.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/json.h"
#include "hardware/measure/import.h"

namespace hourglass::hardware {

namespace {

using importing::Collector;
using importing::member;
using Cells = std::vector<std::pair<std::string, std::string>>;  // column, value

constexpr std::pair<const char*, double> time_units[] = {{"us", 1e-6}, {"ms", 1e-3}, {"ns", 1e-9}, {"s", 1.0}};

const std::string* cell(const Cells& cells, const ImportOptions& options, const std::string& key) {
  const auto mapped = options.columns.find(key);
  const std::string& column = mapped == options.columns.end() ? key : mapped->second;
  const auto same = [&](const auto& each) {
    return mapped == options.columns.end() ? importing::lower(each.first) == column : each.first == column;
  };
  const auto found = std::find_if(cells.begin(), cells.end(), same);
  return found == cells.end() ? nullptr : &found->second;
}

void require_known_op(const ImportOptions& options) {
  if (options.op.empty()) throw base::UsageError("the operator is not given", "--op", "write e.g. --op gemm");
  shape_keys(options.op);
}

// Every key of the map must be one that a row of this operator can have.
void check_map(const ImportOptions& options) {
  std::vector<std::string> known = {"us", "ms", "ns", "s", "dtype", "name", "sms", "runs", "spread"};
  if (options.op == "gemm" || options.op == "grouped_gemm") known.push_back("weight_gradient");
  known.insert(known.end(), shape_keys(options.op).begin(), shape_keys(options.op).end());
  for (const auto& [key, column] : options.columns) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw base::UsageError(fmt::format("{} has no '{}'", options.op, base::printable(key)), "--map",
                             base::suggestion(key, known));
    }
  }
}

// The shape and the labels of one row; false when the row was skipped.
bool read_cells(const Cells& cells, const std::string& place, const ImportOptions& options, Sample& sample,
                Collector& out) {
  sample.op = options.op;
  for (const std::string& key : shape_keys(options.op)) {
    const std::string* text = cell(cells, options, key);
    double value = 0.0;
    if (text == nullptr) return out.skip(place, fmt::format("there is no {}", key)), false;
    if (!importing::number(*text, value)) {
      return out.skip(place, fmt::format("{} is '{}'", key, base::printable(*text))), false;
    }
    sample.shape[key] = value;
  }
  const std::string* dtype = cell(cells, options, "dtype");
  sample.dtype = !options.dtype.empty() ? options.dtype : dtype == nullptr ? "bf16" : importing::lower(*dtype);
  if (const std::string* name = cell(cells, options, "name")) sample.name = base::printable(*name);
  for (const auto& [key, target, most] :
       {std::tuple<const char*, std::int64_t*, double>{"sms", &sample.sms, 4096.0}, {"runs", &sample.runs, 1e9}}) {
    const std::string* text = cell(cells, options, key);
    double value = 0.0;
    if (text == nullptr || text->empty()) continue;
    if (!importing::number(*text, value) || value < 0.0 || value > most) {
      return out.skip(place, fmt::format("{} is '{}'", key, base::printable(*text))), false;
    }
    *target = static_cast<std::int64_t>(value);
  }
  if (const std::string* text = cell(cells, options, "weight_gradient")) {
    double value = 0.0;
    if (!importing::number(*text, value) || (value != 0.0 && value != 1.0))
      return out.skip(place, fmt::format("weight_gradient is '{}'", base::printable(*text))), false;
    sample.weight_gradient = value == 1.0;
  }
  if (const std::string* spread = cell(cells, options, "spread")) importing::number(*spread, sample.spread);
  return true;
}

bool read_time(const Cells& cells, const std::string& place, const ImportOptions& options, Sample& sample,
               Collector& out) {
  for (const auto& [unit, seconds] : time_units) {
    const std::string* text = cell(cells, options, unit);
    double value = 0.0;
    if (text == nullptr) continue;
    if (!importing::number(*text, value)) {
      return out.skip(place, fmt::format("the time is '{}'", base::printable(*text))), false;
    }
    sample.seconds = value * seconds;
    return true;
  }
  return out.skip(place, "there is no time"), false;
}

void check_header(const std::vector<std::string>& header, const ImportOptions& options) {
  for (std::size_t i = 0; i < header.size(); ++i) {
    if (!header[i].empty() && std::find(header.begin(), header.begin() + static_cast<std::ptrdiff_t>(i), header[i]) !=
                                  header.begin() + static_cast<std::ptrdiff_t>(i)) {
      throw base::Error(fmt::format("the column '{}' appears twice", base::printable(header[i])), options.file,
                        "rename one of them");
    }
  }
  for (const auto& [key, column] : options.columns) {
    if (std::find(header.begin(), header.end(), column) == header.end()) {
      throw base::Error(fmt::format("there is no column '{}'", base::printable(column)), options.file,
                        base::suggestion(column, header));
    }
  }
}

// nvbench writes numbers as strings; older versions as numbers.
std::string text_of(const base::Json& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.is_number() ? value.dump() : "";
}

Cells axis_cells(const base::Json& state) {
  Cells cells;
  const base::Json& axes = member(state, "axis_values");
  for (std::size_t i = 0; axes.is_array() && i < axes.size(); ++i) {
    cells.emplace_back(text_of(member(axes[i], "name")), text_of(member(axes[i], "value")));
  }
  const base::Json& summaries = member(state, "summaries");
  for (std::size_t i = 0; summaries.is_array() && i < summaries.size(); ++i) {
    const std::string tag = text_of(member(summaries[i], "tag"));
    const base::Json& data = member(summaries[i], "data");
    if (!data.is_array() || data.empty()) continue;
    const std::string value = text_of(member(data[0], "value"));
    if (tag == "nv/cold/time/gpu/mean") cells.emplace_back("s", value);
    if (tag == "nv/cold/time/gpu/stdev/relative") cells.emplace_back("spread", value);
    if (tag == "nv/cold/sample_size") cells.emplace_back("runs", value);
  }
  return cells;
}

void read_state(const base::Json& state, const std::string& place, const std::string& name, const base::Json& device,
                const ImportOptions& options, Collector& out) {
  out.read();
  const base::Json& skipped = member(state, "is_skipped");
  if (skipped.is_boolean() && skipped.get<bool>()) {
    return out.skip(place, "skipped by nvbench: " + base::printable(text_of(member(state, "skip_reason"))));
  }
  if (member(state, "device") != device) return out.skip(place, "measured on another device than the first");
  const Cells cells = axis_cells(state);
  Sample sample;
  if (!read_cells(cells, place, options, sample, out)) return;
  if (!read_time(cells, place, options, sample, out)) return;
  if (sample.name.empty()) sample.name = base::printable(name);
  out.add(place, std::move(sample));
}

std::string device_name(const base::Json& document, const base::Json& id) {
  const base::Json& devices = member(document, "devices");
  for (std::size_t i = 0; devices.is_array() && i < devices.size(); ++i) {
    if (member(devices[i], "id") == id) return text_of(member(devices[i], "name"));
  }
  return "";
}

}  // namespace

Imported import_csv(std::string_view text, const ImportOptions& options) {
  require_known_op(options);
  check_map(options);
  Collector out("csv", options, text);
  std::vector<std::string> header;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // the mark that spreadsheets write
  importing::each_line(text, [&](std::string_view line, std::size_t number) {
    if (importing::trimmed(line).empty()) return;
    const std::string place = fmt::format("line {}", number);
    const std::optional<std::vector<std::string>> fields = importing::split_csv(line);
    if (header.empty()) {
      if (!fields) throw base::Error("the header's quotes do not close", options.file, "quote whole fields");
      header = *fields;
      out.other();
      return check_header(header, options);
    }
    out.read();
    if (!fields) return out.skip(place, "its quotes do not close");
    if (fields->size() != header.size()) {
      return out.skip(place, fmt::format("{} fields under a header of {}", fields->size(), header.size()));
    }
    Cells cells;
    for (std::size_t i = 0; i < header.size(); ++i) cells.emplace_back(header[i], (*fields)[i]);
    Sample sample;
    if (!read_cells(cells, place, options, sample, out) || !read_time(cells, place, options, sample, out)) return;
    out.add(place, std::move(sample));
  });
  return out.finish();
}

Imported import_nvbench(std::string_view text, const ImportOptions& options) {
  require_known_op(options);
  check_map(options);
  Collector out("nvbench", options, text);
  const base::Json document = base::parse_json(text, options.file, largest_log_bytes);
  const base::Json& benchmarks = member(document, "benchmarks");
  if (!benchmarks.is_array()) {
    throw base::Error("there is no list 'benchmarks'", options.file, "check that nvbench wrote it (--json)");
  }
  base::Json device;
  bool first = true;
  for (const base::Json& benchmark : benchmarks) {
    const base::Json& states = member(benchmark, "states");
    const std::string name = text_of(member(benchmark, "name"));
    for (std::size_t i = 0; states.is_array() && i < states.size(); ++i) {
      if (first) device = member(states[i], "device");
      first = false;
      const std::string place = fmt::format("{} state {}", base::printable(name), i);
      read_state(states[i], place, name, device, options, out);
    }
  }
  return out.finish(device_name(document, device));
}

}  // namespace hourglass::hardware
