// A restricted pod, made on the machine of the tests: no capabilities, no way to a namespace, an ordinary user, and a
// tmpfs each at /mnt/data, /tmp and /dev/shm.
#pragma once

#include <string>

#include "jail_fixture.h"

namespace carrel::sandbox {

struct Pod {
  // Rules (sandbox/seccomp.h) of calls that do not work in it, beside those for namespaces.
  std::string refused_calls;
  // Shell commands, as root of the pod's mount namespace, when everything stands.
  std::string change;
  // Of the jailer; without them the jailer is told to be confined and to do without a cgroup.
  std::vector<std::string> arguments{"--tier=confined", "--allow-no-cgroup"};
  // As root with these capabilities ("+setuid,+setgid"), instead of as an ordinary user.
  std::string capabilities;
};

[[nodiscard]] JailerUnderTest::Options InPod(const Pod& pod);

}  // namespace carrel::sandbox
