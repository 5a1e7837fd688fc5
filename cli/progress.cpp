#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

namespace hourglass::cli {

namespace {

volatile std::sig_atomic_t interrupted = 0;
extern "C" void on_interrupt(int) { interrupted = 1; }

}  // namespace

ProgressLine::ProgressLine(std::string what)
    : what_(std::move(what)), terminal_(isatty(STDERR_FILENO) != 0), began_(std::chrono::steady_clock::now()) {
  interrupted = 0;
  std::signal(SIGINT, on_interrupt);
}

ProgressLine::~ProgressLine() {
  std::signal(SIGINT, SIG_DFL);
  if (terminal_) fmt::print(stderr, "\r{:78}\r", "");
}

bool ProgressLine::show(double done, const std::string& detail) {
  if (terminal_) {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - began_;
    const double left = done > 0.0 ? spent.count() * (1.0 - done) / done : 0.0;
    fmt::print(stderr, "\r{} {:3.0f} %{}, {:.0f} s left  ", what_, done * 100.0, detail, left);
    std::fflush(stderr);
  }
  return interrupted == 0;
}

sim::Progress ProgressLine::callback() {
  return [this](double done, base::Time reached) {
    return show(done, fmt::format(", {:.3f} s into the step", base::seconds(reached)));
  };
}

}  // namespace hourglass::cli
