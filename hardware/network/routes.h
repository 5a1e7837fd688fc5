#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hardware/network/topology.h"

// Paths through a topology: shortest ones, chosen among equals by a policy.
namespace hourglass::hardware {

//   ecmp:               a hash of source, destination and flow picks the output: flows collide
//   destination_modulo: the destination's number picks it (D-mod-k): no two destinations share a way down
//   adaptive:           the path whose fullest link is least full, from what was routed before
enum class RoutePolicy : std::uint8_t { ecmp, destination_modulo, adaptive };
std::vector<std::string> route_policy_names();
RoutePolicy route_policy(const std::string& name);  // throws UsageError

// How a message between nodes picks its rail (RDMA leaves by the GPU's own NIC unless another GPU forwards it).
//   rail:   over NVLink to the source node's GPU on the destination's rail, then along that rail (NCCL's PXN)
//   direct: from the source's NIC to the destination's, crossing rails in the fabric; where the rails are separate
//           planes there is no such way, and the message goes as `rail`
enum class Via : std::uint8_t { rail, direct };

class Router {
 public:
  Router(const Topology& topology, RoutePolicy policy, std::uint64_t seed = 0);
  ~Router();
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // Appends the links from GPU to GPU. `flow` tells flows of one pair apart for the hash; `bytes` is their weight for
  // adaptive routing. Inside a node: NVLink. Where the NIC or plane it would take has failed, another rail of the node
  // carries it, reached over NVLink. Throws Error if no way is left.
  void route(std::int32_t from, std::int32_t to, Via via, std::uint64_t flow, double bytes,
             std::vector<std::int32_t>& path);
  // From NIC to NIC, also inside one node (through the leaf): what RDMA without NVLink does.
  void route_network(std::int32_t from, std::int32_t to, std::uint64_t flow, double bytes,
                     std::vector<std::int32_t>& path);
  // Whether two NICs (by GPU) are connected.
  bool connected(std::int32_t from, std::int32_t to);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

double path_latency(const Topology& topology, const std::vector<std::int32_t>& path);

}  // namespace hourglass::hardware
