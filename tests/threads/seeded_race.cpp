// Two threads that count without a lock, by OpenMP and by std::thread: what the thread sanitizer must see if its silence
// about everything else is to mean anything. Named on the command line, so that each is seen for itself.
#include <cstdio>
#include <cstring>
#include <thread>

namespace {

int count_by_openmp() {
  int sum = 0;
#pragma omp parallel num_threads(2)
  for (int i = 0; i < 500; ++i) ++sum;
  return sum;
}

int count_by_threads() {
  int sum = 0;
  const auto work = [&sum] {
    for (int i = 0; i < 500; ++i) ++sum;
  };
  std::thread other(work);
  work();
  other.join();
  return sum;
}

// The same with what makes it right: the sanitizer must be silent.
int count_in_turn() {
  int sum = 0;
#pragma omp parallel num_threads(2)
  for (int i = 0; i < 500; ++i) {
#pragma omp critical(count)
    ++sum;
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  const char* how = argc == 2 ? argv[1] : "";
  const int sum = std::strcmp(how, "openmp") == 0    ? count_by_openmp()
                  : std::strcmp(how, "threads") == 0 ? count_by_threads()
                                                     : count_in_turn();
  std::printf("counted %d\n", sum);
  return 0;
}
