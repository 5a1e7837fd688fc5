// The first line names the search by a digest of its inputs, space, options and program; every other line holds one
// unit of work, written at once when the unit is done. A process that is killed leaves at most one torn line at the end,
// which is cut off when the file is opened again; whole lines are units done and are not run twice. What becomes of a
// unit depends on the search alone (planner/search/search.cpp), so files of any number of processes merge to the same result.
#include "planner/search/search_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "base/json.h"

namespace hourglass::planner {

namespace {

constexpr std::uintmax_t largest_file = std::uintmax_t{4} << 30;
constexpr std::size_t longest_line = std::size_t{256} << 20;

bool number(const std::string& text, std::int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

std::string first_line(const Search& search) {
  return base::Json({{"hourglass_search", "1.0.0"}, {"search", search.digest()}, {"units", search.units()}}).dump();
}

void check_first_line(const std::string& line, const Search& search, const std::string& path) {
  base::Json header;
  try {
    header = base::parse_json(line, path);
  } catch (const base::Error&) {
    throw base::Error("is not a results file of hourglass search", path, "name another file");
  }
  if (!header.is_object() || !header.contains("hourglass_search") || !header.contains("search"))
    throw base::Error("is not a results file of hourglass search", path, "name another file");
  if (header["search"] != search.digest())
    throw base::Error("belongs to another search: plan, options or program differ", path,
                      "use the same command line and program, or another file");
}

struct Lines {
  std::vector<std::string> whole;
  std::uintmax_t bytes = 0;  // of whole lines
};

Lines read_lines(const std::string& path) {
  std::error_code error;
  if (std::filesystem::file_size(path, error) > largest_file || error)
    throw base::Error("cannot be read or is larger than 4 GiB", path, "check the path");
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw base::Error("cannot be opened", path, "check the path and its rights");
  Lines lines;
  for (std::string line; std::getline(stream, line);) {
    if (stream.eof()) break;  // no line end: torn
    lines.bytes += line.size() + 1;
    lines.whole.push_back(std::move(line));
  }
  return lines;
}

std::vector<UnitResult> units_in(const Lines& lines, const Search& search, const std::string& path) {
  if (lines.whole.empty()) return {};
  check_first_line(lines.whole.front(), search, path);
  std::vector<UnitResult> units;
  for (std::size_t i = 1; i < lines.whole.size(); ++i)
    units.push_back(unit_from_line(lines.whole[i], fmt::format("{} line {}", path, i + 1)));
  return units;
}

}  // namespace

Shard parse_shard(const std::string& text) {
  const std::size_t slash = text.find('/');
  Shard shard;
  shard.from = "--shard";
  if (slash == std::string::npos || !number(text.substr(0, slash), shard.index) ||
      !number(text.substr(slash + 1), shard.count) || shard.index < 0 || shard.index >= shard.count) {
    throw base::UsageError(fmt::format("'{}' is no shard", base::printable(text)), "--shard",
                           "write i/n with i from 0 to n-1");
  }
  return shard;
}

Shard shard_from_environment() {
  struct Names {
    const char *index, *count, *first;
  };
  // An array may start at another number than 0.
  for (const Names& names :
       {Names{"SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN"},
        Names{"SLURM_PROCID", "SLURM_NTASKS", nullptr}, Names{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", nullptr},
        Names{"PMI_RANK", "PMI_SIZE", nullptr}}) {
    const char *index = std::getenv(names.index), *count = std::getenv(names.count);
    if (index == nullptr || count == nullptr) continue;
    const char* first = names.first != nullptr ? std::getenv(names.first) : nullptr;
    Shard shard;
    std::int64_t from = 0;
    shard.from = names.index;
    if (!number(index, shard.index) || !number(count, shard.count) || (first != nullptr && !number(first, from)))
      continue;
    shard.index -= from;
    if (shard.index >= 0 && shard.index < shard.count && shard.count > 1) return shard;
  }
  return {};
}

std::vector<std::uint64_t> units_of(const Shard& shard, std::uint64_t units) {
  std::vector<std::uint64_t> own;
  for (auto unit = static_cast<std::uint64_t>(shard.index); unit < units;
       unit += static_cast<std::uint64_t>(shard.count))
    own.push_back(unit);
  return own;
}

std::string unit_line(const UnitResult& result) {
  base::Json points = base::Json::array();
  for (const SearchPoint& point : result.points)
    points.push_back(base::Json::array({point.id, point.step, point.peak_memory_bytes}));
  return base::Json({{"unit", result.unit},
                     {"plans", result.plans},
                     {"illegal", result.illegal},
                     {"too_large", result.too_large},
                     {"bounded", result.bounded},
                     {"simulated", result.simulated},
                     {"id_step_ps_memory_bytes", points}})
             .dump() +
         "\n";
}

UnitResult unit_from_line(const std::string& line, const std::string& where) {
  const base::Json document = base::parse_json(line, where, longest_line);
  base::Fields fields(document, where);
  UnitResult out;
  const auto count = [&](const char* key) { return static_cast<std::uint64_t>(fields.integer(key)); };
  out.unit = count("unit");
  out.plans = count("plans");
  out.illegal = count("illegal");
  out.too_large = count("too_large");
  out.bounded = count("bounded");
  out.simulated = count("simulated");
  const base::Json& points = fields.any("id_step_ps_memory_bytes");
  const auto bad = [&]() { throw base::Error("holds something else than points", where, "delete the file"); };
  if (!points.is_array()) bad();
  for (const base::Json& point : points) {
    if (!point.is_array() || point.size() != 3 || !point[0].is_number_unsigned() || !point[1].is_number_integer() ||
        !point[2].is_number())
      bad();
    out.points.push_back({point[0].get<std::uint64_t>(), point[1].get<base::Time>(), point[2].get<double>()});
  }
  fields.finish();
  return out;
}

ResultsFile::ResultsFile(const std::string& path, const Search& search) : path_(path) {
  std::error_code error;
  bool fresh = true;
  if (std::filesystem::exists(path, error)) {
    const Lines lines = read_lines(path);
    done_ = units_in(lines, search, path);
    fresh = lines.whole.empty();
    std::filesystem::resize_file(path, lines.bytes, error);
    if (error) throw base::Error("cannot be written", path, "check its rights");
  }
  file_.reset(std::fopen(path.c_str(), "ab"));
  if (!file_) throw base::Error("cannot be written", path, "check the folder and its rights");
  if (fresh) write(first_line(search) + "\n");
}

void ResultsFile::write(const std::string& line) {
  if (std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size() || std::fflush(file_.get()) != 0)
    throw base::Error("cannot be written", path_, "is the disk full?");
}

void ResultsFile::add(const UnitResult& result) { write(unit_line(result)); }

std::vector<UnitResult> without_repeats(std::vector<UnitResult> results, std::uint64_t units,
                                        const std::string& where) {
  std::sort(results.begin(), results.end(), [](const auto& a, const auto& b) { return a.unit < b.unit; });
  const auto last =
      std::unique(results.begin(), results.end(), [](const auto& a, const auto& b) { return a.unit == b.unit; });
  results.erase(last, results.end());
  if (results.size() != units || results.back().unit >= units) {
    throw base::Error(fmt::format("{} of {} units of work are missing",
                                  units - std::min<std::uint64_t>(units, results.size()), units),
                      where, "run the shards that are missing, or the one that was killed, again");
  }
  return results;
}

std::vector<UnitResult> merged(const std::vector<std::string>& files, const Search& search) {
  std::vector<UnitResult> all;
  for (const std::string& file : files) {
    std::vector<UnitResult> units = units_in(read_lines(file), search, file);
    all.insert(all.end(), std::make_move_iterator(units.begin()), std::make_move_iterator(units.end()));
  }
  return without_repeats(std::move(all), search.units(), "--merge");
}

}  // namespace hourglass::planner
