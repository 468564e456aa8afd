#include "disk_keeper.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
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

class Keeper final {
 public:
  Keeper(UniqueFd orders, DiskImages images) : orders_(std::move(orders)), images_(std::move(images)) {}

  [[noreturn]] void Serve() {
    while (orders_ || !sessions_.empty()) {
      std::vector<pollfd> polled{{.fd = orders_ ? orders_.get() : -1, .events = POLLIN, .revents = 0}};
      for (const Held& held : sessions_) polled.push_back({.fd = held.socket.get(), .events = POLLIN, .revents = 0});
      if (::poll(polled.data(), polled.size(), -1) < 0) {
        if (errno == EINTR) continue;
        ::_exit(1);
      }
      // Those who end first: they make room.
      for (size_t i = sessions_.size(); i > 0; --i) {
        if (polled[i].revents != 0) {  // an init says nothing, so it is its end
          End(sessions_[i - 1]);
          sessions_.erase(sessions_.begin() + static_cast<ptrdiff_t>(i) - 1);
        }
      }
      if (polled[0].revents != 0) Receive();
    }
    ::_exit(0);
  }

 private:
  struct Held {
    UniqueFd socket;
    UniqueFd directory;
    uint64_t blocks = 0;  // free at its beginning
  };

  void Receive() {
    DiskOrder order;
    auto received = ReceiveMessage(orders_.get(), WritableBytesOf(order));
    if (!received.ok() || received->size == 0) return orders_.reset();
    if (received->size != sizeof order || received->fds.size() != 1) return;  // the init finds its end closed
    Held held{.socket = std::move(received->fds[0]), .directory = {}, .blocks = 0};
    auto mount = Make(order, &held);
    DiskReply reply;
    if (!mount.ok()) {
      reply.error = ErrnoOf(mount.status());
      // That the disk is full is no news, and its caller is told.
      if (reply.error != ENOSPC) LogLineWithoutWaiting(absl::StrCat("carrel-disk: ", mount.status().message()));
    }
    const int fd = mount.ok() ? mount->get() : -1;
    const bool sent = SendMessage(held.socket.get(), BytesOf(reply), std::span<const int>(&fd, fd >= 0 ? 1 : 0)).ok();
    if (sent && mount.ok()) sessions_.push_back(std::move(held));
  }

  absl::StatusOr<UniqueFd> Make(const DiskOrder& order, Held* held) {
    UniqueFd image;
    if (auto made = images_.Make({.bytes = order.bytes, .files = order.files}); made.ok()) {
      image = *std::move(made);
    } else {
      return made.status();
    }
    auto mount = MountImage(image.get());
    if (!mount.ok()) return mount.status();
    held->directory.reset(::openat(mount->get(), kDiskData, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct statfs about {};
    if (!held->directory || ::fchown(held->directory.get(), order.uid, order.gid) != 0 ||
        ::fstatfs(held->directory.get(), &about) != 0) {
      return ErrnoStatus(errno, "the owner of a workspace");
    }
    held->blocks = about.f_bavail;
    return mount;
  }

  static void End(const Held& held) {
    struct statfs about {};
    if (::fstatfs(held.directory.get(), &about) != 0) return;
    const uint64_t used = held.blocks > about.f_bavail ? held.blocks - about.f_bavail : 0;
    if (used * static_cast<uint64_t>(about.f_bsize) <= kWrittenBackBytesMax) return;
    uint32_t how = kWithoutLogFlush;
    ::ioctl(held.directory.get(), kExt4Shutdown, &how);  // fails: the end takes longer
  }

  UniqueFd orders_;
  DiskImages images_;
  std::vector<Held> sessions_;
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
