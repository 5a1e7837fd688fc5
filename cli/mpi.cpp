// The only file that knows MPI. It is used for one gather at the end of a search: each process has a shard of the units
// and sends its lines to rank 0. Without an MPI launcher's environment MPI is never started, so that a program built
// with it runs like one without.
#include "cli/mpi.h"

#include <algorithm>
#include <cstdlib>

#ifdef HOURGLASS_MPI
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>
#endif

namespace hourglass::cli {

#ifdef HOURGLASS_MPI

namespace {

constexpr std::size_t largest_piece = std::size_t{1} << 28;

bool launched() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "MPI_LOCALNRANKS"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

}  // namespace

Processes::Processes() {
  if (!launched()) return;
  MPI_Init(nullptr, nullptr);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &count_);
}

Processes::~Processes() {
  int begun = 0, ended = 0;
  MPI_Initialized(&begun);
  MPI_Finalized(&ended);
  if (begun != 0 && ended == 0) MPI_Finalize();
}

// In pieces, since MPI counts in int.
std::vector<std::string> Processes::gather(const std::string& text) const {
  if (count_ == 1) return {text};
  std::vector<std::string> all;
  if (rank_ != 0) {
    unsigned long long size = text.size();
    MPI_Send(&size, 1, MPI_UNSIGNED_LONG_LONG, 0, 0, MPI_COMM_WORLD);
    for (std::size_t at = 0; at < text.size(); at += largest_piece) {
      const auto count = static_cast<int>(std::min(largest_piece, text.size() - at));
      MPI_Send(text.data() + at, count, MPI_CHAR, 0, 1, MPI_COMM_WORLD);
    }
    return all;
  }
  all.push_back(text);
  for (int from = 1; from < count_; ++from) {
    unsigned long long size = 0;
    MPI_Recv(&size, 1, MPI_UNSIGNED_LONG_LONG, from, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    std::string& received = all.emplace_back(static_cast<std::size_t>(size), '\0');
    for (std::size_t at = 0; at < received.size(); at += largest_piece) {
      const auto count = static_cast<int>(std::min(largest_piece, received.size() - at));
      MPI_Recv(received.data() + at, count, MPI_CHAR, from, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
  }
  return all;
}

#else

Processes::Processes() = default;
Processes::~Processes() = default;
std::vector<std::string> Processes::gather(const std::string& text) const { return {text}; }

#endif

}  // namespace hourglass::cli
