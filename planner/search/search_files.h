#pragma once

#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "planner/search/search.h"

// A search's results as JSON Lines: a line that names the search, then one a unit of work.
namespace hourglass::planner {

// One of several processes that share a search: it takes every count-th unit.
struct Shard {
  std::int64_t index = 0, count = 1;
  std::string from;  // where it was taken from: "--shard", "SLURM_ARRAY_TASK_ID", ...; "" for the whole
};
// "2/8". Throws base::UsageError.
Shard parse_shard(const std::string& text);
// What Slurm or MPI say about this process; the whole where they say nothing.
Shard shard_from_environment();
std::vector<std::uint64_t> units_of(const Shard& shard, std::uint64_t units);

std::string unit_line(const UnitResult& result);
UnitResult unit_from_line(const std::string& line, const std::string& where);

// Collects lines in a file; a file that is there is continued. A last line that was not finished is dropped: its unit is
// run again. Throws base::Error if the file belongs to another search or cannot be written.
class ResultsFile {
 public:
  ResultsFile(const std::string& path, const Search& search);
  const std::vector<UnitResult>& done() const { return done_; }
  void add(const UnitResult& result);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  void write(const std::string& line);
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  std::vector<UnitResult> done_;
};

// All units from several files. Throws base::Error if one is of another search, or units are missing.
std::vector<UnitResult> merged(const std::vector<std::string>& files, const Search& search);
// The same from lines without their first. `where` is named in errors.
std::vector<UnitResult> without_repeats(std::vector<UnitResult> results, std::uint64_t units, const std::string& where);

}  // namespace hourglass::planner
