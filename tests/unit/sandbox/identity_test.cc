#include "sandbox/identity.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "in_child.h"
#include "support/missing_layer.h"

namespace carrel::sandbox {
namespace {

bool StatusSays(const std::string& line) {
  std::ifstream status("/proc/self/status");
  std::string text;
  while (std::getline(status, text)) {
    if (text == line) return true;
  }
  return false;
}

// The tests run as root (the front door does); without root there is nothing to drop but in a user namespace.
TEST(DropTo, LeavesNothingOfRoot) {
  CARREL_NEED("ROOT", geteuid() == 0, "it needs root");
  EXPECT_EQ(InChild([] {
              const gid_t groups[] = {1, 2, 3};
              if (setgroups(3, groups) != 0) return 100;
              if (const int error = DropTo({.uid = 54321, .gid = 54322}); error != 0) return error;
              if (getgroups(0, nullptr) != 0) return 101;
              for (const char* set : {"CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"}) {
                if (!StatusSays(std::string(set) + "\t0000000000000000")) return 102;
              }
              if (!StatusSays("Uid:\t54321\t54321\t54321\t54321")) return 103;
              if (!StatusSays("Gid:\t54322\t54322\t54322\t54322")) return 104;
              if (!StatusSays("NoNewPrivs:\t1")) return 105;
              return syscall(SYS_setresuid, 0, 0, 0) == 0 ? 106 : 0;
            }),
            0);
}

TEST(DropTo, MakesEvenUidZeroPowerless) {
  CARREL_NEED("ROOT", geteuid() == 0, "it needs root");
  EXPECT_EQ(InChild([] {
              if (const int error = DropTo({.uid = 0, .gid = 0}); error != 0) return error;
              if (!StatusSays("CapEff:\t0000000000000000")) return 100;
              // After an exec uid 0 would have everything again, if the securebits did not say otherwise.
              execl("/bin/sh", "sh", "-c", "grep -q 'CapEff:.0000000000000000' /proc/self/status",
                    static_cast<char*>(nullptr));
              return 101;
            }),
            0);
}

// Not built with ThreadSanitizer: its run time keeps a thread in every child, and a process of two threads may not make
// a user namespace (EINVAL).
#if !defined(__SANITIZE_THREAD__)
TEST(DropTo, WorksInAUserNamespaceOfOneUid) {
  EXPECT_EQ(InChild([] {
              const uid_t uid = geteuid();
              if (uid == 0 && syscall(SYS_setresuid, 54321, 54321, 54321) != 0) return 100;
              const std::string uids = "0 " + std::to_string(geteuid()) + " 1";
              const std::string gids = "0 " + std::to_string(getegid()) + " 1";
              // A process that changed its uid may not write its maps before it is dumpable again.
              if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return 101;
              if (unshare(CLONE_NEWUSER) != 0) return 102;
              std::ofstream("/proc/self/setgroups") << "deny";
              std::ofstream uid_map("/proc/self/uid_map");
              uid_map << uids << std::flush;
              if (!uid_map) return 103;
              std::ofstream gid_map("/proc/self/gid_map");
              gid_map << gids << std::flush;
              if (const int error = DropTo({.uid = 0, .gid = 0, .groups_are_fixed = true}); error != 0) {
                return error;
              }
              return StatusSays("CapEff:\t0000000000000000") ? 0 : 104;
            }),
            0);
}
#endif

TEST(DropTo, SaysWhenItMayNot) {
  EXPECT_EQ(InChild([] {
              if (geteuid() == 0 && syscall(SYS_setresuid, 54321, 54321, 54321) != 0) return 100;
              return DropTo({.uid = 1, .gid = 1, .groups_are_fixed = true});
            }),
            EPERM);
}

}  // namespace
}  // namespace carrel::sandbox
