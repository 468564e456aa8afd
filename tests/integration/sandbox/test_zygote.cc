// A zygote without an interpreter: its children say who they are and then do what the first line on stdin asks.
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "sandbox/zygote.h"

namespace {

// The counters of a child that only looks around.
int Child() {
  char line[64] = {};
  std::printf("pid=%d uid=%u nnp=%d\n", ::getpid(), ::getuid(), ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  std::fflush(stdout);
  if (std::fgets(line, sizeof line, stdin) == nullptr) return 9;
  const std::string order = line;
  if (order == "abort\n") std::abort();
  if (order == "spin\n") {
    while (true) ::pause();
  }
  return std::atoi(line);
}

}  // namespace

int main() {
  auto zygote = carrel::sandbox::Zygote::Connect();
  if (!zygote.ok()) {
    std::fprintf(stderr, "test_zygote: %s\n", zygote.status().ToString().c_str());
    return 1;
  }
  if (!(*zygote)->Ready().ok()) return 1;
  while (auto order = (*zygote)->Next()) {
    if ((*zygote)->Fork(*order) == 0) {
      (*zygote)->EnterChild(*order);
      ::_exit(Child());
    }
  }
  ::_exit(0);
}
