// hourglass_overlap: the overlap benchmark, started with mpirun, srun or torchrun, one process per GPU.
#include <fmt/format.h>

#include <boost/program_options.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>

#include "base/error.h"
#include "base/json.h"
#include "base/provenance.h"
#include "kernels/cuda/device.h"
#include "kernels/nccl/overlap.h"

namespace po = boost::program_options;
using namespace hourglass;
using namespace hourglass::kernels;

namespace {

void print(const std::vector<nccl::OverlapPoint>& points) {
  fmt::print("{:>4}  {:>12} {:>12} {:>9}  {:>12} {:>12} {:>9}\n", "SMs", "GEMM us", "beside us", "slowdown",
             "message us", "beside us", "slowdown");
  for (const nccl::OverlapPoint& p : points) {
    fmt::print("{:>4}  {:>12.1f} {:>12.1f} {:>9.3f}  {:>12.1f} {:>12.1f} {:>9.3f}\n", p.sms, p.gemm_alone_s * 1e6,
               p.gemm_beside_s * 1e6, p.gemm_slowdown(), p.message_alone_s * 1e6, p.message_beside_s * 1e6,
               p.message_slowdown());
  }
}

void write(const std::string& path, const hardware::SampleSet& set) {
  std::ofstream file(path);
  file << hardware::samples_json(set).dump(1) << '\n';
  file.close();
  if (!file) throw base::Error("cannot be written", path);
}

struct Arguments {
  nccl::OverlapShape shape;
  std::string output;
  bool help = false;
};

Arguments parse(int argc, char** argv) {
  Arguments a;
  po::options_description options(
      "hourglass_overlap: a GEMM beside an all-to-all, by the SMs of the latter\n"
      "mpirun -n 8 hourglass_overlap -o overlap.json");
  auto add = options.add_options();
  add("help,h", "this text");
  add("m", po::value(&a.shape.m), "rows (4096)");
  add("n", po::value(&a.shape.n), "columns (4096)");
  add("k", po::value(&a.shape.k), "inner dimension (7168)");
  add("bytes", po::value(&a.shape.bytes), "of a rank's all-to-all (67108864)");
  add("sms", po::value(&a.shape.sms)->multitoken(), "of the communication, several (4 8 12 16 20 24 32)");
  add("runs", po::value(&a.shape.runs), "GEMMs a point (20)");
  add("output,o", po::value(&a.output), "write the samples, for calibrate");
  po::variables_map values;
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  po::store(po::command_line_parser(argc, argv).options(options).style(style).run(), values);
  po::notify(values);
  a.help = values.count("help") > 0;
  if (a.help) std::cout << options;
  if (a.shape.m < 1 || a.shape.n < 8 || a.shape.k < 8) throw base::UsageError("the GEMM is too small", "--m --n --k");
  return a;
}

int run(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  if (arguments.help) return 0;
  const nccl::OverlapShape& shape = arguments.shape;
  const nccl::World world = nccl::world_of_process();
  if (cuda::device_count() > 0) cuda::select_device(world.local_rank % cuda::device_count());
  const cuda::DeviceFacts facts = cuda::device_facts("the overlap benchmark");
  for (const int sms : shape.sms) {
    if (sms < 1 || sms >= facts.sms)
      throw base::UsageError(fmt::format("{} of {} SMs", sms, facts.sms), "--sms", "leave the GEMM some");
  }
  const std::vector<nccl::OverlapPoint> points = nccl::measure_overlap(world, shape);
  if (world.rank != 0) return 0;
  print(points);
  if (arguments.output.empty()) return 0;
  hardware::SampleSet set;
  set.device = facts.name;
  set.device_facts = facts.facts;
  set.device_facts["nccl"] = nccl::nccl_version();
  set.source = fmt::format("hourglass_overlap on {} x {}", world.size, facts.name);
  base::Provenance provenance;
  provenance.argv.assign(argv, argv + argc);
  set.provenance = base::provenance_json(provenance);
  set.samples = nccl::overlap_samples(world, shape, points, facts.sms);
  write(arguments.output, set);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const base::UsageError& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 2;
  } catch (const po::error& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 1;
  }
}
