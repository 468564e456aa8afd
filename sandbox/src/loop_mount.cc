#include "loop_mount.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <linux/mount.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"

namespace carrel::sandbox {
namespace {

constexpr char kControl[] = "/dev/loop-control";
// Others of the machine take loop devices too: between the answer which is free and our taking it, somebody else may.
// With two hundred who ask at once, each of these rounds has a winner.
constexpr int kAttempts = 2000;
constexpr useconds_t kPauseMicros = 500;
// As the images' own, so that the device can read and write its file without the page cache (O_DIRECT).
constexpr uint32_t kBlockBytes = 4096;

absl::Status Refused(absl::string_view what, int error, absl::string_view mend = "") {
  const std::string text = absl::StrCat(what, ": ", std::strerror(error), mend.empty() ? "" : ". Mend: ", mend);
  if (error == ENOENT || error == ENXIO || error == ENODEV) return absl::NotFoundError(text);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(text);
  return absl::UnavailableError(text);
}

struct LoopDevice {
  UniqueFd fd;
  std::string path;
};

absl::StatusOr<LoopDevice> Attach(int image) {
  const UniqueFd control(::open(kControl, O_RDWR | O_CLOEXEC));
  if (!control) {
    return Refused(
        kControl, errno,
        "modprobe loop; in a container, show it /dev/loop-control and the loop devices (docker: --privileged, "
        "or --device /dev/loop-control with --device-cgroup-rule 'b 7:* rmw')");
  }
  int error = EBUSY;
  for (int attempt = 0; attempt < kAttempts && error == EBUSY; ++attempt) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return Refused("no loop device is free", errno, "a larger max_loop of the module loop");
    LoopDevice device{.fd = {}, .path = absl::StrCat("/dev/loop", number)};
    device.fd.reset(::open(device.path.c_str(), O_RDWR | O_CLOEXEC));
    if (!device.fd) {
      return Refused(device.path, errno,
                     "a /dev that shows new loop devices (devtmpfs), or enough of them: mknod /dev/loopN b 7 N");
    }
    // Past the host's page cache: what a session has not written back yet is in its own memory group and nowhere else.
    loop_config config{};
    config.fd = static_cast<uint32_t>(image);
    config.block_size = kBlockBytes;
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
    if (::ioctl(device.fd.get(), LOOP_CONFIGURE, &config) == 0) return device;
    error = errno;
    // Not all in step: who asked together would ask together again.
    if (error == EBUSY) ::usleep(kPauseMicros + static_cast<useconds_t>(::getpid() % 8) * kPauseMicros);
  }
  return Refused("LOOP_CONFIGURE", error, error == EBUSY ? "" : "Linux 5.8 or newer");
}

}  // namespace

absl::StatusOr<UniqueFd> MountImage(int image) {
  const auto device = Attach(image);
  if (!device.ok()) return device.status();
  const UniqueFd context(static_cast<int>(::syscall(SYS_fsopen, "ext4", FSOPEN_CLOEXEC)));
  if (!context) return Refused("fsopen ext4", errno, "modprobe ext4");
  const auto set = [&context](unsigned command, const char* key, const char* value) {
    return ::syscall(SYS_fsconfig, context.get(), command, key, value, 0) == 0;
  };
  // Nobody reads the tables of inodes before they are used: they need not be zeroed behind the session's back.
  if (!set(FSCONFIG_SET_STRING, "source", device->path.c_str()) || !set(FSCONFIG_SET_FLAG, "noinit_itable", nullptr) ||
      !set(FSCONFIG_CMD_CREATE, nullptr, nullptr)) {
    return Refused(absl::StrCat("mount ext4 of ", device->path), errno);
  }
  UniqueFd mount(
      static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)));
  if (!mount) return Refused("fsmount", errno);
  return mount;
}

}  // namespace carrel::sandbox
