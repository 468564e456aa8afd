// without_calls POLICY PROGRAM [ARGUMENT]...: executes the program in a world where the system calls that the policy
// refuses do not work and all others do: a kernel without Landlock, a pod that allows no namespaces. The syntax:
// sandbox/seccomp.h.
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "sandbox/seccomp.h"

int main(int argc, char** argv) {
  using namespace carrel::sandbox;
  if (argc < 3) return 2;
  auto policy = ParseSyscallPolicy(argv[1], "without");
  if (!policy.ok()) {
    std::fprintf(stderr, "%s\n", policy.status().ToString().c_str());
    return 2;
  }
  policy->otherwise = {SyscallAction::Kind::kAllow};
  const auto filter = CompileSyscallPolicy(*policy);
  if (!filter.ok()) return 2;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || LoadFilter(*filter) != 0) return 2;
  ::execv(argv[2], argv + 2);
  std::fprintf(stderr, "%s: %s\n", argv[2], std::strerror(errno));
  return 2;
}
