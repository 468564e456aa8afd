// What a session costs, from the server's call to its answer, and back to nothing. Needs no interpreter: `forks` is a
// small zygote, `shell` an exec policy.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "absl/time/clock.h"
#include "jail_fixture.h"

namespace carrel::sandbox {
namespace {

void Print(const char* name, std::vector<double> millis) {
  std::sort(millis.begin(), millis.end());
  const auto at = [&](double q) { return millis[static_cast<size_t>(q * static_cast<double>(millis.size() - 1))]; };
  std::printf("%-28s p50 %7.2f ms   p90 %7.2f   p99 %7.2f   max %7.2f   (%zu)\n", name, at(0.5), at(0.9), at(0.99),
              millis.back(), millis.size());
}

int Run(int sessions, absl::Duration pause) {
  auto jailer = JailerUnderTest::Start({.arguments = UsualArguments()});
  if (!jailer.ok()) {
    std::fprintf(stderr, "%s\n", jailer.status().ToString().c_str());
    return 1;
  }
  std::printf("tier %s\n", (*jailer)->maker().report().tier.c_str());
  for (const char* policy : {"forks", "shell"}) {
    std::vector<double> create;
    std::vector<double> destroy;
    for (int i = 0; i < sessions; ++i) {
      absl::SleepFor(pause);
      const absl::Time start = absl::Now();
      auto running = StartJail((*jailer)->maker(), policy);
      const absl::Time created = absl::Now();
      if (!running.ok()) {
        std::fprintf(stderr, "%s\n", running.status().ToString().c_str());
        return 1;
      }
      running->jail.reset();
      create.push_back(absl::ToDoubleMilliseconds(created - start));
      destroy.push_back(absl::ToDoubleMilliseconds(absl::Now() - created));
    }
    create.erase(create.begin());  // the first may wait for its zygote
    Print((std::string(policy) + ": create").c_str(), create);
    Print((std::string(policy) + ": destroy").c_str(), destroy);
  }
  return 0;
}

}  // namespace
}  // namespace carrel::sandbox

// jail_bench [sessions [milliseconds between them]]
int main(int argc, char** argv) {
  const int sessions = argc > 1 ? std::atoi(argv[1]) : 200;
  const int pause = argc > 2 ? std::atoi(argv[2]) : 0;
  return carrel::sandbox::Run(std::max(sessions, 2), absl::Milliseconds(pause));
}
