// What hourglass_cuda.so hands to the program that loads it.
#include "base/build_info.h"
#include "kernels/bench/bench_backends.h"

extern "C" void hourglass_backend(hourglass::kernels::BackendPlugin& plugin) {
  plugin = {hourglass::base::build_version, hourglass::base::build_git_commit, hourglass::kernels::make_cuda_backend};
}
