// Reading a PyTorch-profiler trace.
//
// A trace of one step is 10 to 500 MB of JSON, nine tenths of it CPU operators. It is read as a stream of SAX events
// over zlib's gzFile (which reads plain files too): no document is built, one event at a time is looked at, and only
// kernels, copies and memsets of the GPU, the CPU's launches (correlation number and time) and user annotations are
// kept. Kernel names repeat, so they are stored once, cut to 512 bytes: template arguments beyond that tell nothing,
// and std::regex recurses by character.
//
// Times are microseconds since the epoch, with three decimals in newer versions: too many digits for a double. They are
// read from the number's text into integer nanoseconds. GPU events without a name or a time are counted and shown.
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <istream>
#include <memory>
#include <streambuf>
#include <unordered_map>

#include "base/error.h"
#include "base/json.h"
#include "hardware/measure/kineto.h"

namespace hourglass::hardware {

namespace {

constexpr std::size_t longest_name = 512;
constexpr std::size_t most_kernels = 4'000'000;
constexpr std::size_t most_launches = 16'000'000;
constexpr std::size_t most_names = 100'000;
constexpr std::size_t most_phases = 10'000;
constexpr std::size_t most_annotations = 1'000'000;
constexpr std::size_t most_complaints = 20;
constexpr std::size_t most_bytes = std::size_t{16} << 30;
constexpr std::size_t longest_unquoted = std::size_t{64} << 20;
constexpr std::int64_t unknown = std::numeric_limits<std::int64_t>::min();
constexpr double latest_us = 4e15;                          // the year 2096
constexpr std::int64_t longest_kernel = 1'000'000'000'000;  // 1000 s: no sum over most_kernels overflows

// Bytes of a file, unpacked if it is gzip. A few MB of gzip may hold many GB: what is unpacked is limited as a whole, and
// so is what may come without a quotation mark, since the parser holds one string in memory at a time.
class GzBuffer : public std::streambuf {
 public:
  explicit GzBuffer(const std::string& path) : path_(path), file_(gzopen(path.c_str(), "rb"), gzclose) {
    if (!file_) throw base::Error("cannot be opened", path, "check its rights");
    gzbuffer(file_.get(), static_cast<unsigned>(buffer_.size()));
  }

 protected:
  int_type underflow() override {
    const int count = gzread(file_.get(), buffer_.data(), static_cast<unsigned>(buffer_.size()));
    if (count <= 0) return traits_type::eof();  // an error cuts the JSON off, which its parser reports
    limit(static_cast<std::size_t>(count));
    setg(buffer_.data(), buffer_.data(), buffer_.data() + count);
    return traits_type::to_int_type(*gptr());
  }

 private:
  void limit(std::size_t count) {
    read_ += count;
    if (read_ > most_bytes) throw base::Error("holds more than 16 GiB, unpacked", path_, "profile fewer steps");
    const std::string_view piece(buffer_.data(), count);
    std::size_t quote = piece.rfind('"');
    while (quote != std::string_view::npos && quote > 0 && piece[quote - 1] == '\\')
      quote = piece.rfind('"', quote - 1);
    unquoted_ = quote == std::string_view::npos ? unquoted_ + count : count - quote;
    if (unquoted_ > longest_unquoted) {
      throw base::Error("a string or gap of more than 64 MiB", path_, "check that it is a PyTorch-profiler trace");
    }
  }

  std::string path_;
  std::size_t read_ = 0, unquoted_ = 0;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
  std::vector<char> buffer_ = std::vector<char>(std::size_t{1} << 18);
};

// What one event may say that we use.
struct Event {
  std::string phase, category, name, stated_phase, block;
  std::int64_t start = unknown, duration = unknown;  // ns
  std::int64_t pid = 0, tid = 0, device = unknown, stream = unknown, correlation = unknown, layer = unknown;
  std::array<std::int64_t, 3> grid{};
  std::size_t grid_size = 0;

  void clear() {
    const std::array<std::int64_t, 3> none{};
    phase.clear();
    category.clear();
    name.clear();
    stated_phase.clear();
    block.clear();
    start = duration = device = stream = correlation = layer = unknown;
    pid = tid = 0;
    grid = none;
    grid_size = 0;
  }
};

// A number as the SAX parser gives it: `text` for one with a point or an exponent.
struct Number {
  std::int64_t whole = 0;
  double value = 0.0;
  const std::string* text = nullptr;

  std::int64_t integer() const {
    if (text == nullptr) return whole;
    return std::abs(value) < latest_us ? std::llround(value) : unknown;
  }
  // Microseconds to nanoseconds, exact to the third decimal.
  std::int64_t nanoseconds() const {
    if (!(value >= 0.0 && value < latest_us)) return unknown;
    if (text == nullptr) return whole * 1000;
    const std::size_t point = text->find('.');
    if (point == std::string::npos || text->find_first_of("eE") != std::string::npos) {
      return std::llround(value * 1000.0);
    }
    std::int64_t us = 0;
    std::from_chars(text->data(), text->data() + point, us);
    std::int64_t ns = 0;
    for (std::size_t i = 1; i <= 3; ++i) ns = ns * 10 + (point + i < text->size() ? (*text)[point + i] - '0' : 0);
    return us * 1000 + ns;
  }
};

class Reader : public nlohmann::json_sax<base::Json> {
 public:
  Reader(Trace& trace, std::vector<Annotation>& annotations, std::vector<Launch>& launches)
      : trace_(trace), annotations_(annotations), launches_(launches) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t value) override { return number({value, static_cast<double>(value)}); }
  bool number_unsigned(number_unsigned_t value) override {
    const bool fits = value <= static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max());
    return number({fits ? static_cast<std::int64_t>(value) : unknown, static_cast<double>(value)});
  }
  bool number_float(number_float_t value, const string_t& text) override { return number({0, value, &text}); }
  bool binary(binary_t&) override { return false; }
  bool string(string_t& value) override;
  bool key(string_t& name) override {
    if (depth_ == 1) section_ = name;
    if (depth_ == 3) field_ = name;
    if (depth_ == 4) argument_ = name;
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth_ == 2 && section_ == "traceEvents") event_.clear();
    return open();
  }
  bool end_object() override {
    --depth_;
    if (depth_ == 2 && section_ == "traceEvents") take();
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ == 1 && section_ == "traceEvents") found_events_ = true;
    return open();
  }
  bool end_array() override { return --depth_, true; }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    throw base::Error(fmt::format("not valid JSON at byte {}", position), trace_.path,
                      "check that the file is whole and a PyTorch-profiler trace");
  }
  bool found_events() const { return found_events_; }

 private:
  bool open() {
    if (++depth_ > base::deepest_json) throw base::Error("nested too deeply", trace_.path, "check the file");
    return true;
  }
  bool in_event() const { return depth_ >= 3 && section_ == "traceEvents"; }
  bool number(const Number& value);
  void argument(const Number& value);
  void take();
  void take_kernel();
  std::uint32_t name_index(std::string name);
  std::uint32_t phase_index(const std::string& name);

  Trace& trace_;
  std::vector<Annotation>& annotations_;
  std::vector<Launch>& launches_;
  std::unordered_map<std::string, std::uint32_t> names_;
  Event event_;
  std::string section_, field_, argument_;  // the keys at depth 1, 3 and 4
  int depth_ = 0;
  bool found_events_ = false;
};

bool Reader::string(string_t& value) {
  if (depth_ == 1 && section_ == "traceName") trace_.name = base::printable(value);
  if (depth_ == 3 && section_ == "deviceProperties" && field_ == "name" && trace_.device.empty()) {
    trace_.device = base::printable(value);
  }
  if (depth_ == 4 && in_event() && field_ == "args" && argument_ == "phase")
    event_.stated_phase = value.substr(0, longest_name);
  if (depth_ == 4 && in_event() && field_ == "args" && argument_ == "block")
    event_.block = value.substr(0, longest_name);
  if (depth_ != 3 || !in_event()) return true;
  if (field_ == "ph") event_.phase = value;
  if (field_ == "cat") event_.category = value;
  if (field_ == "name") event_.name = value.substr(0, longest_name);
  return true;
}

bool Reader::number(const Number& value) {
  if (depth_ == 3 && section_ == "deviceProperties" && field_ == "numSms" && trace_.sms == 0) {
    trace_.sms = std::clamp<std::int64_t>(value.integer(), 0, 4096);
  }
  if (!in_event()) return true;
  if (depth_ == 3) {
    if (field_ == "ts") event_.start = value.nanoseconds();
    if (field_ == "dur") event_.duration = value.nanoseconds();
    if (field_ == "pid") event_.pid = value.integer();
    if (field_ == "tid") event_.tid = value.integer();
  } else if (field_ == "args") {
    argument(value);
  }
  return true;
}

void Reader::argument(const Number& value) {
  if (depth_ == 4) {
    if (argument_ == "device") event_.device = value.integer();
    if (argument_ == "stream") event_.stream = value.integer();
    if (argument_ == "correlation") event_.correlation = value.integer();
    if (argument_ == "layer") event_.layer = value.integer();
  } else if (depth_ == 5 && argument_ == "grid" && event_.grid_size < event_.grid.size()) {
    event_.grid[event_.grid_size++] = value.integer();
  }
}

void Reader::take() {
  ++trace_.events;
  const std::string& category = event_.category;
  if (event_.phase != "X") return;
  if (category == "kernel" || category == "gpu_memcpy" || category == "gpu_memset") return take_kernel();
  if ((category == "cuda_runtime" || category == "cuda_driver") && event_.correlation != unknown &&
      event_.start != unknown) {
    launches_.push_back({static_cast<std::uint64_t>(event_.correlation), event_.start});
  }
  if (category == "user_annotation" && event_.start != unknown && event_.duration >= 0) {
    annotations_.push_back({event_.start, event_.start + event_.duration, base::printable(event_.name)});
  }
  if (launches_.size() > most_launches || annotations_.size() > most_annotations) {
    throw base::Error("more launches or annotations than are read", trace_.path, "profile fewer steps");
  }
}

std::uint32_t Reader::name_index(std::string name) {
  const auto [found, added] = names_.emplace(std::move(name), static_cast<std::uint32_t>(trace_.names.size()));
  if (added) trace_.names.push_back(base::utf8(found->first));  // the cut to 512 bytes may split a character
  if (names_.size() > most_names) throw base::Error("more than 100000 kernel names", trace_.path, "check the file");
  return found->second;
}

// Simulated traces say of each kernel which phase it belongs to.
std::uint32_t Reader::phase_index(const std::string& name) {
  const auto found = std::find(trace_.phases.begin(), trace_.phases.end(), name);
  const auto index = static_cast<std::uint32_t>(found - trace_.phases.begin());
  if (found == trace_.phases.end()) trace_.phases.push_back(base::printable(name));
  if (trace_.phases.size() > most_phases) throw base::Error("more than 10000 phases", trace_.path, "check the file");
  return index;
}

void Reader::take_kernel() {
  if (event_.name.empty() || event_.start == unknown || event_.duration < 0 || event_.duration > longest_kernel) {
    ++trace_.events_skipped;
    if (trace_.complaints.size() < most_complaints) {
      trace_.complaints.push_back(fmt::format("event {}: a {} without name, time or a duration up to 1000 s",
                                              trace_.events, base::printable(event_.category)));
    }
    return;
  }
  const auto small = [](std::int64_t value) {
    return static_cast<std::int32_t>(std::clamp<std::int64_t>(value, -1, 1 << 30));
  };
  TraceKernel kernel;
  kernel.name = name_index(event_.name);
  kernel.device = small(event_.device != unknown ? event_.device : event_.pid);
  kernel.stream = small(event_.stream != unknown ? event_.stream : event_.tid);
  for (std::size_t i = 0; i < kernel.grid.size(); ++i) kernel.grid[i] = small(event_.grid[i]);
  kernel.start = event_.start;
  kernel.duration = event_.duration;
  kernel.correlation = static_cast<std::uint64_t>(event_.correlation);
  if (!event_.stated_phase.empty()) {
    kernel.phase = phase_index(event_.stated_phase);
    if (!event_.block.empty()) kernel.block = event_.block == "F&B" ? KernelBlock::pair : KernelBlock::alone;
    kernel.layer = small(event_.layer == unknown ? -1 : event_.layer);
  }
  trace_.kernels.push_back(kernel);
  if (trace_.kernels.size() > most_kernels) {
    throw base::Error(fmt::format("more than {} kernels", most_kernels), trace_.path, "profile fewer steps");
  }
}

void check_file(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) throw base::Error("no such file", path, "check the path");
  if (std::filesystem::is_directory(path, ignored)) throw base::Error("is a folder", path, "name a trace in it");
}

// Times from the first kernel on, so that they stay small; kernels in order.
void rebase(Trace& trace, std::vector<Annotation>& annotations, std::vector<Launch>& launches) {
  std::stable_sort(trace.kernels.begin(), trace.kernels.end(),
                   [](const TraceKernel& a, const TraceKernel& b) { return a.start < b.start; });
  const std::int64_t origin = trace.kernels.front().start;
  for (TraceKernel& kernel : trace.kernels) kernel.start -= origin;
  for (Launch& launch : launches) launch.time -= origin;
  for (Annotation& annotation : annotations) {
    annotation.start -= origin;
    annotation.end -= origin;
  }
}

}  // namespace

Trace load_trace(const std::string& path, const KernelTable& table, PhaseSource source) {
  check_file(path);
  Trace trace;
  trace.path = path;
  std::vector<Annotation> annotations;
  std::vector<Launch> launches;
  {
    GzBuffer buffer(path);
    std::istream stream(&buffer);
    Reader reader(trace, annotations, launches);
    base::Json::sax_parse(stream, &reader);
    if (!reader.found_events())
      throw base::Error("there is no list 'traceEvents'", path, "export it with the profiler");
  }
  if (trace.kernels.empty()) {
    throw base::Error(fmt::format("no GPU kernel among {} events", trace.events), path, "profile with CUDA activities");
  }
  rebase(trace, annotations, launches);
  classify(trace, table);
  if (trace.phases.size() > 1) {
    trace.phases_from = "kernels";
  } else if (source != PhaseSource::kernel_order &&
             phases_from_annotations(trace, std::move(annotations), std::move(launches))) {
    trace.phases_from = "annotations";
  } else if (source != PhaseSource::annotations && phases_from_order(trace, table)) {
    trace.phases_from = "kernel order";
  }
  return trace;
}

}  // namespace hourglass::hardware
