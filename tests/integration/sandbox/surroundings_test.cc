// What the doctor says of its surroundings: AppArmor and containers, each made up in a world of the test's own. Nothing
// of it is believed, it only explains what was tried.
#include <gmock/gmock.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "jail_fixture.h"
#include "sandbox/base/child_process.h"

namespace carrel::sandbox {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// What `carrel-jailer --doctor --json` prints, after the shell commands in a mount namespace of its own. `prefix` runs
// the jailer.
std::string DoctorIn(const std::string& commands, const std::string& prefix = "") {
  auto pipe = MakePipe();
  if (!pipe.ok()) return pipe.status().ToString();
  SpawnOptions spawn{.argv = {"/usr/bin/unshare", "--mount"}, .fds = {{pipe->write.get(), 1}}};
  if (::geteuid() != 0) spawn.argv.insert(spawn.argv.end(), {"--user", "--map-root-user"});
  spawn.argv.insert(spawn.argv.end(),
                    {"--", "/bin/sh", "-ec",
                     absl::StrCat("mount --make-rprivate /\nfile() { mount -t tmpfs none /mnt; echo "
                                  "\"$1\" >/mnt/f; }\n",
                                  commands, "\nexec ", prefix, " ", CARREL_BIN, "/carrel-jailer --doctor --json")});
  auto doctor = ChildProcess::Spawn(spawn);
  if (!doctor.ok()) return doctor.status().ToString();
  pipe->write.reset();
  return ReadToEnd(pipe->read.get());
}

constexpr char kNoNamespaces[] =
    CARREL_TESTS_BIN "/without_calls 'default errno ENOSYS # not meant\nerrno EPERM unshare # not here\n'";

TEST(Surroundings, AreNotMentionedWhereThereAreNone) {
  EXPECT_THAT(DoctorIn(""), AllOf(HasSubstr("\"seccomp\""), Not(HasSubstr("\"apparmor\""))));
}

TEST(Surroundings, AnAppArmorProfileIsNamed) {
  const std::string profile = "file 'docker-default (enforce)'; mount --bind /mnt/f /proc/$$/attr/current";
  EXPECT_THAT(DoctorIn(profile), AllOf(HasSubstr("\"apparmor\""), HasSubstr("docker-default (enforce)")));
  // With the mend, because something does not work: a /proc that has been mounted upon cannot be mounted again.
  EXPECT_THAT(DoctorIn(profile), HasSubstr("apparmor=unconfined"));
  EXPECT_THAT(DoctorIn("file unconfined; mount --bind /mnt/f /proc/$$/attr/current"), Not(HasSubstr("\"apparmor\"")));
}

// Ubuntu's way: the clone works, and what follows has no rights.
TEST(Surroundings, AppArmorsRestrictionOfUserNamespacesIsNamedWithItsMend) {
  if (::geteuid() != 0) GTEST_SKIP() << "masking /proc/sys takes root";
  const std::string restricted =
      "mount -t tmpfs none /proc/sys/kernel; echo 1 >/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
  const std::string as_user = absl::StrCat("setpriv --reuid 12345 --regid 12345 --clear-groups ", CARREL_TESTS_BIN,
                                           "/without_calls 'default errno ENOSYS # not meant\nerrno EPERM unshare if "
                                           "a0.lo & CLONE_NEWNS == CLONE_NEWNS # no rights\n'");
  EXPECT_THAT(DoctorIn(restricted, as_user),
              AllOf(HasSubstr("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
                    HasSubstr("get no capabilities"), HasSubstr("making a mount namespace")));
  EXPECT_THAT(
      DoctorIn("mount -t tmpfs none /proc/sys/kernel; echo 0 >/proc/sys/kernel/unprivileged_userns_clone", as_user),
      HasSubstr("sysctl -w kernel.unprivileged_userns_clone=1"));
}

TEST(Surroundings, AContainerIsNamedWithTheWayOutThatCostsSomething) {
  // Which kind: `places_test`, for this machine may be one itself.
  const std::string pod = "export KUBERNETES_SERVICE_HOST=10.0.0.1";
  EXPECT_THAT(DoctorIn(pod), AllOf(HasSubstr("\"container\""), Not(HasSubstr("--tier confined"))));
  EXPECT_THAT(DoctorIn(pod, kNoNamespaces), AllOf(HasSubstr("hostUsers: false"), HasSubstr("--tier confined")));
}

}  // namespace
}  // namespace carrel::sandbox
