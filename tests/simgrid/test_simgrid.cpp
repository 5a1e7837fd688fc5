// Our max-min fair flows against SimGrid's (Casanova et al. 2014), an independent implementation: two hundred random networks in one
// simulation of theirs, each with links of its own. SimGrid's corrections for TCP (bandwidth and latency factors, window, cross
// traffic) are switched off, latencies are zero: what is left is the fluid model.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <simgrid/s4u.hpp>

#include "base/random.h"
#include "hardware/network/fair_share.h"

namespace sg4 = simgrid::s4u;
using namespace hourglass;

namespace {

constexpr int networks = 200;
constexpr double tolerance = 1e-3;

struct Case {
  std::vector<double> capacity;
  hardware::FlowSet flows;
};

Case random_case(base::Random& random) {
  Case made;
  const std::uint64_t links = 2 + random.below(6), flows = 2 + random.below(8);
  for (std::uint64_t l = 0; l < links; ++l) made.capacity.push_back(random.uniform(1e8, 1e10));
  for (std::uint64_t f = 0; f < flows; ++f) {
    std::vector<std::int32_t> path;
    for (std::uint64_t l = 0; l < links; ++l) {
      if (random.uniform() < 0.4) path.push_back(static_cast<std::int32_t>(l));
    }
    if (path.empty()) path.push_back(static_cast<std::int32_t>(random.below(links)));
    made.flows.add(path, random.uniform(1e8, 1e10));
  }
  return made;
}

}  // namespace

int main(int argc, char** argv) {
  sg4::Engine engine(&argc, argv);
  for (const char* setting :
       {"network/model:CM02", "network/TCP-gamma:0", "network/crosstraffic:0", "network/weight-S:0",
        "network/bandwidth-factor:1", "network/latency-factor:1", "maxmin/precision:1e-9"}) {
    sg4::Engine::set_config(setting);
  }
  base::Random random(17);
  std::vector<Case> cases;
  for (int i = 0; i < networks; ++i) cases.push_back(random_case(random));
  auto* zone = sg4::create_full_zone("zone");
  std::vector<std::pair<sg4::Host*, sg4::Host*>> ends;
  std::vector<double> bytes;
  for (std::size_t c = 0; c < cases.size(); ++c) {
    std::vector<sg4::Link*> links;
    for (std::size_t l = 0; l < cases[c].capacity.size(); ++l) {
      links.push_back(
          zone->create_link(fmt::format("link{}.{}", c, l), cases[c].capacity[l])->set_latency(0.0)->seal());
    }
    for (std::size_t f = 0; f < cases[c].flows.size(); ++f) {
      auto* from = zone->create_host(fmt::format("from{}.{}", c, f), 1e9)->seal();
      auto* to = zone->create_host(fmt::format("to{}.{}", c, f), 1e9)->seal();
      std::vector<sg4::LinkInRoute> route;
      for (const std::int32_t l : cases[c].flows.links(f)) route.emplace_back(links[static_cast<std::size_t>(l)]);
      zone->add_route(from->get_netpoint(), to->get_netpoint(), nullptr, nullptr, route, false);
      ends.emplace_back(from, to);
      bytes.push_back(cases[c].flows.bytes[f]);
    }
  }
  zone->seal();
  std::vector<double> theirs(ends.size(), 0.0);
  for (std::size_t f = 0; f < ends.size(); ++f) {
    sg4::Actor::create(fmt::format("flow{}", f), ends[f].first, [&, f] {
      sg4::Comm::sendto_init(ends[f].first, ends[f].second)
          ->set_payload_size(static_cast<std::uint64_t>(bytes[f]))
          ->wait();
      theirs[f] = sg4::Engine::get_clock();
    });
  }
  engine.run();
  double worst = 0.0;
  std::size_t next = 0, differing = 0;
  for (const Case& each : cases) {
    const hardware::FlowTimes ours = hardware::simulate_flows(each.capacity, each.flows);
    for (const double finish : ours.finish_s) {
      const double error = std::abs(finish / theirs[next++] - 1.0);
      worst = std::max(worst, error);
      differing += error > tolerance ? 1 : 0;
    }
  }
  std::printf("%zu flows on %d random networks against SimGrid: worst difference %.2e, %zu above %.0e\n", next,
              networks, worst, differing, tolerance);
  return differing == 0 ? 0 : 1;
}
