#include <doctest/doctest.h>

#include <fstream>
#include <iterator>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "hardware/measure/import.h"
#include "model/ops/routing.h"

using namespace hourglass;
using hardware::Imported;
using hardware::ImportOptions;
using hardware::Sample;

namespace {

std::string data(const std::string& name) {
  std::ifstream in(std::string(HOURGLASS_SOURCE_DIR) + "/tests/hardware/data/" + name, std::ios::binary);
  REQUIRE(in);
  return {std::istreambuf_iterator<char>(in), {}};
}

ImportOptions options_for(const std::string& device) {
  ImportOptions options;
  options.file = "log.txt";
  options.device = device;
  return options;
}

// Everything a log of each format needs, for the tests that go over all of them.
struct Format {
  const char* name;
  const char* file;
  ImportOptions options;
};

std::vector<Format> every_format() {
  ImportOptions deepep = options_for("H800");
  deepep.ranks = 64;
  ImportOptions table = options_for("H800");
  table.op = "gemm";
  ImportOptions csv = table;
  csv.columns = {{"us", "latency, us"}, {"name", "kernel"}};
  table.columns = {{"k", "Depth"}};
  return {{"nccl-tests", "nccl_all_reduce.txt", options_for("")},
          {"nccl-tests", "nccl_all_gather.json", options_for("")},
          {"deepep", "deepep.txt", deepep},
          {"deepgemm", "deepgemm.txt", options_for("H800")},
          {"nvbench", "nvbench.json", table},
          {"csv", "gemm.csv", csv}};
}

Imported imported(std::size_t index) {
  const Format format = every_format().at(index);
  return hardware::import_log(format.name, data(format.file), format.options);
}

std::string message_of(const std::string& format, const std::string& text, const ImportOptions& options) {
  try {
    hardware::import_log(format, text, options);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("nccl-tests text: out-of-place rows, ranks and hosts from the device lines") {
  const Imported read = imported(0);
  REQUIRE(read.set.samples.size() == 2);
  CHECK(read.set.device == "NVIDIA H800");
  const Sample& first = read.set.samples[0];
  CHECK(first.op == "all_reduce");
  CHECK(first.dtype == "fp32");
  CHECK(first.at("bytes") == 1048576.0);
  CHECK(first.at("ranks") == 4.0);
  CHECK(first.at("ranks_per_node") == 2.0);
  CHECK(first.seconds == doctest::Approx(60e-6));
  CHECK(read.set.samples[1].seconds == doctest::Approx(80.5e-6));  // #wrong may be N/A
  CHECK(read.lines_read == 5);
  CHECK(read.lines_skipped == 3);
  CHECK(read.complaints == std::vector<std::string>{"line 16: the out-of-place time is 'N/A'",
                                                    "line 17: the result was wrong",
                                                    "line 18: 3 columns instead of 9 or more"});
  CHECK(hardware::import_report(read).starts_with("5 lines read, 3 skipped: line 16: "));
}

TEST_CASE("nccl-tests JSON: the environment is never stored") {
  const Imported read = imported(1);
  REQUIRE(read.set.samples.size() == 1);
  CHECK(read.set.samples[0].op == "all_gather");
  CHECK(read.set.samples[0].dtype == "bf16");
  CHECK(read.set.samples[0].at("ranks") == 2.0);
  CHECK(read.set.samples[0].runs == 20);
  CHECK(read.complaints == std::vector<std::string>{"result 1: there is no out-of-place time"});
  CHECK(hardware::samples_json(read.set).dump().find("SECRET") == std::string::npos);
  std::string broken = data("nccl_all_gather.json");
  broken.resize(broken.size() - 20);
  const std::string message = message_of("nccl-tests", broken, options_for(""));
  CHECK(message.find("not valid JSON") != std::string::npos);
  CHECK(message.find("SECRET") == std::string::npos);
}

TEST_CASE("nccl-tests: what the log does not say must be given") {
  const std::string row = " 1024 256 float sum -1 9.5 0.1 0.1 0 9.5 0.1 0.1 0\n";
  CHECK(message_of("nccl-tests", row, options_for("H800")).find("--op") != std::string::npos);
  ImportOptions options = options_for("H800");
  options.op = "sendrecv_perf";
  CHECK(message_of("nccl-tests", row, options).find("--ranks") != std::string::npos);
  options.ranks = 2;
  CHECK(hardware::import_nccl_tests(row, options).set.samples.at(0).at("same_node") == 1.0);
  options.device = "";
  CHECK(message_of("nccl-tests", row, options).find("--device") != std::string::npos);
}

TEST_CASE("deepep: printed times first, then the documented bytes over the rate") {
  const Imported read = imported(2);
  REQUIRE(read.set.samples.size() == 6);
  const std::vector<Sample>& s = read.set.samples;
  CHECK(s[0].op == "dispatch");
  CHECK(s[0].seconds == doctest::Approx(1234e-6));  // without the 30 us of notify
  CHECK(s[0].at("token_bytes") == 7392.0);
  CHECK(s[0].sms == 24);
  CHECK(s[1].dtype == "bf16");
  CHECK(s[1].seconds == doctest::Approx(4096.0 * model::expected_parts({256, 8, 8, 4}, 8) * 14336.0 / 50e9));
  CHECK(s[2].op == "combine");
  CHECK(s[2].seconds == doctest::Approx(560.1e-6));
  CHECK(s[3].at("low_latency") == 2.0);
  CHECK(s[3].at("tokens") == 128.0);
  CHECK(s[3].at("experts") == 288.0);
  CHECK(s[3].at("token_bytes") == 7168.0 + 7168.0 / 128.0 * 4.0 + 16.0);
  CHECK(s[4].op == "combine");
  CHECK(s[4].seconds == doctest::Approx(360e-6));
  CHECK(s[5].at("ranks") == 64.0);
  CHECK(s[5].seconds == doctest::Approx(812.345e-6));
  CHECK(read.lines_skipped == 2);
  CHECK(read.lines_other == 4);
  ImportOptions unknown_ranks = options_for("H800");
  CHECK(message_of("deepep", data("deepep.txt"), unknown_ranks).find("--ranks") != std::string::npos);
}

TEST_CASE("deepep: within a node the rate counts distinct ranks") {
  ImportOptions options = options_for("H800");
  options.ranks = 8;
  const Imported read =
      hardware::import_deepep("[tuning] Best combine: SMs 24, NVL chunk 4: 158.00 GB/s (NVL)\n", options);
  double missed = 1.0;  // hypergeometric: none of 8 choices of 256 among a rank's 32
  for (int i = 0; i < 8; ++i) missed *= (224.0 - i) / (256.0 - i);
  CHECK(read.set.samples.at(0).seconds == doctest::Approx(4096.0 * 8.0 * (1.0 - missed) * 14336.0 / 158e9));
}

TEST_CASE("deepgemm: dense and grouped; m of all groups or of one, by the printed rate") {
  const Imported read = imported(3);
  REQUIRE(read.set.samples.size() == 5);
  const std::vector<Sample>& s = read.set.samples;
  CHECK(s[0].op == "gemm");
  CHECK(s[0].dtype == "e4m3");
  CHECK(s[0].at("k") == 2048.0);
  CHECK(s[0].seconds == doctest::Approx(123.4e-6));
  CHECK(s[0].runs == 30);
  CHECK(s[1].dtype == "bf16");
  CHECK(s[2].op == "grouped_gemm");
  CHECK(s[2].at("groups") == 4.0);
  CHECK(s[2].at("m") == 2048.0);
  CHECK(s[3].at("m") == 8192.0);
  CHECK(s[4].at("m") == 8192.0);
  CHECK(read.lines_read == 8);
  CHECK(read.complaints == std::vector<std::string>{"line 8: the shape lacks m, n or k",
                                                    "line 9: there is no shape in brackets",
                                                    "line 11: a GEMM grouped by k has no operator here"});
}

TEST_CASE("nvbench: axes to shapes, skipped states by name") {
  const Imported read = imported(4);
  REQUIRE(read.set.samples.size() == 1);
  const Sample& sample = read.set.samples[0];
  CHECK(sample.at("k") == 1024.0);
  CHECK(sample.dtype == "bf16");
  CHECK(sample.seconds == doctest::Approx(12.5e-6));
  CHECK(sample.spread == doctest::Approx(0.02));
  CHECK(sample.runs == 120);
  CHECK(sample.name == "matmul");
  CHECK(read.complaints == std::vector<std::string>{"matmul state 1: skipped by nvbench: too large",
                                                    "matmul state 2: measured on another device than the first",
                                                    "matmul state 3: there is no n"});
}

TEST_CASE("csv: quotes, strict numbers, a map with units") {
  const Imported read = imported(5);
  REQUIRE(read.set.samples.size() == 2);
  CHECK(read.set.samples[0].name == "sm90 \"ws\", persistent");
  CHECK(read.set.samples[0].seconds == doctest::Approx(120.5e-6));
  CHECK(read.complaints == std::vector<std::string>{"line 3: the time is '12O'", "line 4: 2 fields under a header of 5",
                                                    "line 5: its quotes do not close"});
  for (const auto& [unit, seconds] :
       {std::pair<const char*, double>{"us", 3e-6}, {"ms", 3e-3}, {"s", 3.0}, {"ns", 3e-9}}) {
    ImportOptions options = options_for("H800");
    options.op = "gemm";
    options.columns = hardware::parse_column_map(std::string("m=a,n=b,k=c,") + unit + "=t");
    CHECK(hardware::import_csv("a,b,c,t\r\n1,2,4,3\r\n", options).set.samples.at(0).seconds ==
          doctest::Approx(seconds));
    options.columns["m"] = "missing";
    CHECK(message_of("csv", "a,b,c,t\n1,2,4,3\n", options).find("no column 'missing'") != std::string::npos);
    options.columns = {{"colour", "a"}};
    CHECK_THROWS_AS(hardware::import_csv("a,b,c,t\n1,2,4,3\n", options), base::UsageError);
  }
  CHECK_THROWS_AS(hardware::parse_column_map("m"), base::UsageError);
  CHECK_THROWS_AS(hardware::parse_column_map("m=a,m=b"), base::UsageError);
  CHECK_THROWS_AS(hardware::parse_column_map(""), base::UsageError);
}

TEST_CASE("what was imported survives the measurement file") {
  for (std::size_t i = 0; i < every_format().size(); ++i) {
    const hardware::SampleSet set = imported(i).set;
    const hardware::SampleSet back = hardware::read_samples(hardware::samples_json(set), "back.json");
    CHECK(back.device == set.device);
    CHECK(back.source == set.source);
    REQUIRE(back.samples.size() == set.samples.size());
    for (std::size_t j = 0; j < set.samples.size(); ++j) {
      CHECK(back.samples[j].op == set.samples[j].op);
      CHECK(back.samples[j].shape == set.samples[j].shape);
      CHECK(back.samples[j].seconds == doctest::Approx(set.samples[j].seconds).epsilon(1e-12));
    }
  }
}

TEST_CASE("nothing usable is an error, and so is an unknown format") {
  for (const Format& format : every_format()) {
    CHECK(message_of(format.name, "", format.options) != "");
    CHECK(message_of(format.name, "hello\nworld\n", format.options) != "");
  }
  CHECK_THROWS_AS(hardware::import_log("nccltests", "", {}), base::UsageError);
}

TEST_CASE("mutated logs give an Error or samples that can be read back, never a crash") {
  base::Random random(7);
  const std::string noise = "0123456789.,:=()/|[]{}\"'#\n -eEnaN\\\x01\xff";
  for (const Format& format : every_format()) {
    const std::string original = data(format.file);
    for (int round = 0; round < 400; ++round) {
      std::string text = original;
      for (std::uint64_t edits = random.below(8) + 1; edits > 0 && !text.empty(); --edits) {
        const std::size_t at = static_cast<std::size_t>(random.below(text.size()));
        const std::uint64_t kind = random.below(4);
        if (kind == 0) text[at] = noise[static_cast<std::size_t>(random.below(noise.size()))];
        if (kind == 1) text.erase(at, static_cast<std::size_t>(random.below(9)));
        if (kind == 2) text.insert(at, 1, noise[static_cast<std::size_t>(random.below(noise.size()))]);
        if (kind == 3 && random.below(20) == 0) text.resize(at);
      }
      try {
        const Imported read = hardware::import_log(format.name, text, format.options);
        CHECK(read.lines_skipped <= 2 * read.lines_read);
        hardware::read_samples(hardware::samples_json(read.set), "back.json");
      } catch (const base::Error&) {
      }
    }
  }
}
