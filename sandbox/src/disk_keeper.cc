#include "disk_keeper.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "disk_image.h"
#include "loop_mount.h"
#include "namespaces.h"
#include "process_setup.h"
#include "sandbox/base/error.h"
#include "sandbox/base/log_line.h"
#include "sandbox/base/message_socket.h"

namespace carrel::sandbox {
namespace {

// Mounts and loop devices; the workspace's owner; a directory that may be another user's.
constexpr uint64_t kKeeperCapabilities =
    uint64_t{1} << CAP_SYS_ADMIN | uint64_t{1} << CAP_CHOWN | uint64_t{1} << CAP_DAC_OVERRIDE;
// A workspace that holds more is not written back when it ends, at the price of a line in the kernel's log each.
constexpr uint64_t kWrittenBackBytesMax = 32 << 20;
// From the kernel's fs/ext4/ext4.h, which no header of its interface has: stop, and write nothing any more.
constexpr unsigned long kExt4Shutdown = _IOR('X', 125, uint32_t);
constexpr uint32_t kWithoutLogFlush = 2;

int ErrnoOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
      return ENOSPC;
    case absl::StatusCode::kNotFound:
      return ENODEV;
    case absl::StatusCode::kPermissionDenied:
      return EPERM;
    default:
      return EIO;
  }
}

// A session's disk, in a process of its own from the order to the end: mounting and unmounting wait for the kernel's
// grace periods and for the disk, each for itself.
class DiskHolder final {
 public:
  DiskHolder(const DiskOrder& order, UniqueFd socket) : order_(order), socket_(std::move(socket)) {}

  [[noreturn]] void Run(DiskImages* images) {
    {
      const auto mount = Make(images);
      DiskReply reply;
      if (!mount.ok()) {
        reply.error = ErrnoOf(mount.status());
        // That the disk is full is no news, and its caller is told.
        if (reply.error != ENOSPC) LogLineWithoutWaiting(absl::StrCat("carrel-disk: ", mount.status().message()));
      }
      const int fd = mount.ok() ? mount->get() : -1;
      const bool sent = SendMessage(socket_.get(), BytesOf(reply), std::span<const int>(&fd, fd >= 0 ? 1 : 0)).ok();
      if (!sent || !mount.ok()) ::_exit(0);
    }
    // An init says nothing, so whatever comes is its end.
    pollfd polled{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    while (::poll(&polled, 1, -1) < 0 && errno == EINTR) {
    }
    End();
    ::_exit(0);
  }

 private:
  absl::StatusOr<UniqueFd> Make(DiskImages* images) {
    const auto image = images->Make({.bytes = order_.bytes, .files = order_.files});
    if (!image.ok()) return image.status();
    auto mount = MountImage(image->get());
    if (!mount.ok()) return mount.status();
    directory_.reset(::openat(mount->get(), kDiskData, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct statfs about {};
    if (!directory_ || ::fchown(directory_.get(), order_.uid, order_.gid) != 0 ||
        ::fstatfs(directory_.get(), &about) != 0) {
      return ErrnoStatus(errno, "the owner of a workspace");
    }
    free_blocks_ = about.f_bavail;
    return mount;
  }

  void End() const {
    struct statfs about {};
    if (::fstatfs(directory_.get(), &about) != 0) return;
    const uint64_t used = free_blocks_ > about.f_bavail ? free_blocks_ - about.f_bavail : 0;
    if (used * static_cast<uint64_t>(about.f_bsize) <= kWrittenBackBytesMax) return;
    uint32_t how = kWithoutLogFlush;
    ::ioctl(directory_.get(), kExt4Shutdown, &how);  // fails: the end takes longer
  }

  const DiskOrder order_;
  UniqueFd socket_;
  UniqueFd directory_;
  uint64_t free_blocks_ = 0;  // at its beginning
};

class Keeper final {
 public:
  Keeper(UniqueFd orders, DiskImages images) : orders_(std::move(orders)), images_(std::move(images)) {}

  [[noreturn]] void Serve() {
    const UniqueFd children = WatchChildren();
    if (!children) ::_exit(1);
    while (true) {
      pollfd polled[2] = {{.fd = orders_.get(), .events = POLLIN, .revents = 0},
                          {.fd = children.get(), .events = POLLIN, .revents = 0}};
      if (::poll(polled, 2, -1) < 0 && errno != EINTR) ::_exit(1);
      Reap(children);
      if (polled[0].revents == 0) continue;
      DiskOrder order;
      auto received = ReceiveMessage(orders_.get(), WritableBytesOf(order));
      if (!received.ok() || received->size == 0) break;  // the jailer ends
      // Of one that lacks something, the init finds its end closed.
      if (received->size == sizeof order && received->fds.size() == 1) Start(order, std::move(received->fds[0]));
    }
    orders_.reset();
    while (::waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
    }
    ::_exit(0);
  }

 private:
  static void Reap(const UniqueFd& children) {
    signalfd_siginfo info;
    while (::read(children.get(), &info, sizeof info) > 0) {
    }
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }

  void Start(const DiskOrder& order, UniqueFd socket) {
    // Here, so that it is there for the next of this size too. What goes wrong the child tells.
    images_.Prepare({.bytes = order.bytes, .files = order.files}).IgnoreError();
    const pid_t keeper = ::getpid();
    if (ForkInto(0) != 0) return;  // none could be forked: the init finds its end closed
    orders_.reset();
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != keeper) ::_exit(1);
    DiskHolder(order, std::move(socket)).Run(&images_);
  }

  UniqueFd orders_;
  DiskImages images_;
};

[[noreturn]] void RunKeeper(UniqueFd socket, const std::string& directory, pid_t jailer) {
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(socket));
  if (KeepOnlyDescriptors(&fds) != 0) ::_exit(1);
  HideArguments("carrel-disk");
  // Signals stay blocked as they are in the jailer: who is told to end is the jailer.
  if (::setsid() < 0 || KeepOnlyCapabilities(kKeeperCapabilities) != 0) ::_exit(1);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_DUMPABLE, 0) != 0) ::_exit(1);
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != jailer) ::_exit(1);
  auto images = DiskImages::Open(directory);
  if (!images.ok()) {
    LogLineWithoutWaiting(absl::StrCat("carrel-disk: ", images.status().message()));
    ::_exit(1);
  }
  Keeper(std::move(fds[0]), *std::move(images)).Serve();
}

}  // namespace

absl::StatusOr<DiskKeeper> StartDiskKeeper(const std::string& directory) {
  auto pair = MakeSocketPair();
  if (!pair.ok()) return pair.status();
  const pid_t jailer = ::getpid();
  const pid_t pid = ForkInto(0);
  if (pid < 0) return ErrnoStatus(errno, "fork the disk keeper");
  if (pid == 0) {
    pair->first.reset();
    RunKeeper(std::move(pair->second), directory, jailer);
  }
  if (absl::Status s = SetNonBlocking(pair->first.get()); !s.ok()) return s;
  auto process = ChildProcess::Adopt(pid);
  if (!process.ok()) return process.status();
  return DiskKeeper{*std::move(process), std::move(pair->first)};
}

UniqueFd AwaitDiskWorkspace(int socket, int* error) {
  DiskReply reply;
  auto received = ReceiveMessage(socket, WritableBytesOf(reply));
  *error = EIO;  // the keeper has ended, and the jailer is about to
  if (!received.ok() || received->size != sizeof reply) return {};
  *error = reply.error;
  if (received->fds_lost) *error = EMFILE;
  if (*error == 0 && received->fds.size() != 1) *error = EIO;
  return *error == 0 ? std::move(received->fds[0]) : UniqueFd();
}

}  // namespace carrel::sandbox
