#pragma once

#include <functional>
#include <optional>
#include <string>

// One process per GPU: who am I, and how do we find each other. Nothing here knows NCCL.
namespace hourglass::kernels::nccl {

struct World {
  int rank = 0, size = 1;
  int local_rank = 0, ranks_per_node = 1;
  std::string job;  // names the launch, the same in all its processes, "" if the launcher gives none

  int node() const { return rank / ranks_per_node; }
  int nodes() const { return size / ranks_per_node; }
  int rank_at(int node, int local) const { return node * ranks_per_node + local; }
};

// From the variables of mpirun (OMPI_COMM_WORLD_*), of MPICH and Intel MPI (PMI_*, MPI_LOCALRANKID), of srun (SLURM_*)
// or of torchrun (RANK, WORLD_SIZE, LOCAL_*); a process that none of them started is a world of one. Ranks must be
// placed node after node. Throws base::Error for values that are no ranks, or nodes of unequal size.
using Environment = std::function<std::optional<std::string>(const char*)>;
World world_of(const Environment& environment);
World world_of_process();

// What rank 0 knows, given to all through a file that all see: written beside its name and renamed, so that nobody
// reads half of it. `path` empty: in the folder HOURGLASS_RENDEZVOUS or the present one, named after the job. The file
// must not exist before; rank 0 removes it with forget() once all have it.
// Throws base::Error when there is an old file, or when nothing came in `seconds`.
class Rendezvous {
 public:
  Rendezvous(const World& world, const std::string& path = "");
  std::string share(const std::string& message_of_rank_0, double seconds = 120.0) const;
  void forget() const;

 private:
  int rank_;
  std::string path_;
};

}  // namespace hourglass::kernels::nccl
