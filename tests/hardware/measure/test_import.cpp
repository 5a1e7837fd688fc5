#include <doctest/doctest.h>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "hardware/measure/import.h"

using namespace hourglass;
using namespace hourglass::hardware;

namespace {

// Lines in the formats of the tools' print statements; the figures are only illustrative.
const std::string nccl =
    "# Collective test starting: all_reduce_perf\n"
    "#  Rank  0 Group  0 Pid   1000 on     node01 device  0 [0000:1b:00] NVIDIA H100 80GB HBM3\n"
    "#  Rank  1 Group  0 Pid   1000 on     node01 device  1 [0000:43:00] NVIDIA H100 80GB HBM3\n"
    "     1048576        262144     float     sum      -1    20.10   52.17   52.17       0    20.40   51.40   51.40    "
    "   0\n"
    "     4194304       1048576     float     sum      -1    41.00  102.30  102.30       0    41.20  101.80  101.80    "
    " N/A\n";
const std::string deepgemm =
    " > Perf (m=  4096, n=  7168, k= 2048, 1D2D, layout=NT, BF16, acc=0):  123.4 us | 1234 TFLOPS | 890 GB/s | 1.05x "
    "cuBLAS\n";
const std::string deepep =
    "[tuning] Best dispatch (FP8): SMs 24, NVL chunk 20, RDMA chunk 16: 30 + 1234 us, 43.21 GB/s (RDMA), 140.00 GB/s "
    "(NVL)\n";

ImportOptions options() {
  ImportOptions import;
  import.device = "H100 SXM5";
  return import;
}

}  // namespace

TEST_CASE("nccl-tests: the collective, its ranks and the out-of-place time") {
  const Imported imported = import_nccl_tests(nccl, options());
  REQUIRE(imported.set.samples.size() == 2);
  const Sample& s = imported.set.samples.front();
  CHECK(s.op == "all_reduce");
  CHECK(s.at("ranks") == 2);
  CHECK(s.at("bytes") == 1048576);
  CHECK(s.seconds == doctest::Approx(20.10e-6));
  CHECK(imported.lines_skipped == 0);
}

TEST_CASE("DeepGEMM: shape and time of a dense line") {
  const Imported imported = import_deepgemm(deepgemm, options());
  REQUIRE(imported.set.samples.size() == 1);
  CHECK(imported.set.samples[0].at("k") == 2048);
  CHECK(imported.set.samples[0].seconds == doctest::Approx(123.4e-6));
}

TEST_CASE("DeepEP: a tuned dispatch line becomes a dispatch over nodes") {
  ImportOptions import = options();
  import.ranks = 16;
  const Imported imported = import_deepep(deepep, import);
  REQUIRE(imported.set.samples.size() == 1);
  CHECK(imported.set.samples[0].op == "dispatch");
  CHECK(imported.set.samples[0].at("ranks") == 16);
}

TEST_CASE("CSV: columns by map, the unit of the time by its name, bad lines counted and told") {
  ImportOptions import = options();
  import.op = "gemm";
  import.columns = parse_column_map("m=M,n=N,k=K,ms=latency");
  const Imported imported = import_csv("M,N,K,latency\n1024,4096,7168,0.08\n1,2,x,1\n", import);
  REQUIRE(imported.set.samples.size() == 1);
  CHECK(imported.set.samples[0].seconds == doctest::Approx(80e-6));
  CHECK(imported.lines_skipped == 1);
  REQUIRE(imported.complaints.size() == 1);
  CHECK(imported.complaints[0].find("line 3") != std::string::npos);
}

TEST_CASE("what is imported is what the sample reader reads") {
  for (const Imported& imported : {import_nccl_tests(nccl, options()), import_deepgemm(deepgemm, options())}) {
    const SampleSet again = read_samples(samples_json(imported.set), "again");
    REQUIRE(again.samples.size() == imported.set.samples.size());
    CHECK(again.samples[0].shape == imported.set.samples[0].shape);
  }
}

TEST_CASE("DeepEP: more ranks than experts are skipped, and no sample file may have them") {
  ImportOptions import = options();
  import.ranks = 1024;
  CHECK_THROWS_WITH_AS(import_deepep(deepep, import), doctest::Contains("256 experts are fewer than the 1024 ranks"),
                       base::Error);
  base::Json file = samples_json(import_deepep(deepep, [&] { return import.ranks = 16, import; }()).set);
  CHECK_NOTHROW(read_samples(file, "f.json"));
  file["samples"][0]["groups"] = 300;
  CHECK_THROWS_WITH_AS(read_samples(file, "f.json"), doctest::Contains("groups is 300, more than experts"),
                       base::Error);
  file["samples"][0]["groups"] = 0;
  CHECK_THROWS_WITH_AS(read_samples(file, "f.json"), doctest::Contains("groups is 0"), base::Error);
  file["samples"][0]["groups"] = 2;
  file["common"] = {{"name", std::string(5000, 'a')}};  // of every sample
  file["samples"][0].erase("name");
  CHECK_THROWS_WITH_AS(read_samples(file, "f.json"), doctest::Contains("5000 bytes long"), base::Error);
}

TEST_CASE("names in a log that is not UTF-8 can be written as samples") {
  ImportOptions import = options();
  import.op = "gemm", import.dtype = "bf16", import.source = "T\xfcrk";
  const Imported imported = import_csv("m,n,k,us,name\n1,2,3,4,caf\xe9\n", import);
  REQUIRE(imported.set.samples.size() == 1);
  CHECK(imported.set.samples[0].name == "caf\\xe9");
  CHECK(samples_json(imported.set).dump().find("T\\\\xfcrk") != std::string::npos);
}

TEST_CASE("a log without any measurement is an error") {
  for (const std::string& format : import_formats()) {
    CAPTURE(format);
    ImportOptions import = options();
    import.op = "gemm";
    CHECK_THROWS_AS(import_log(format, "nothing to see\n", import), base::Error);
  }
  CHECK_THROWS_AS(import_log("nsys", "", options()), base::Error);
}

TEST_CASE("spoiled logs are errors or samples, never anything else") {
  base::Random random(17);
  const std::string csv = "m,n,k,us\n1024,4096,7168,80\n2048,4096,7168,150\n";
  const std::pair<std::string, std::string> logs[] = {
      {"nccl-tests", nccl}, {"deepgemm", deepgemm}, {"deepep", deepep}, {"csv", csv}};
  const std::string alphabet = "0123456789.,:|=+-eE \tnaNinf#(){}[]\"/\xff\n";
  for (int round = 0; round < 4000; ++round) {
    const auto& [format, good] = logs[random.below(4)];
    std::string text = good;
    for (std::size_t edits = 1 + random.below(6); edits > 0; --edits) {
      const std::size_t at = random.below(text.size());
      if (random.below(3) == 0)
        text.erase(at, 1 + random.below(9));
      else
        text[at] = alphabet[random.below(alphabet.size())];
      if (text.empty()) text = "x";
    }
    ImportOptions import = options();
    if (format == "csv") import.op = "gemm";
    if (format == "deepep") import.ranks = 16;
    try {
      for (const Sample& s : import_log(format, text, import).set.samples) {
        REQUIRE(s.seconds > 0.0);
        REQUIRE(s.seconds < 1e9);
      }
    } catch (const base::Error& error) {
      REQUIRE(std::string(error.what()).find('\n') == std::string::npos);
    }
  }
}
