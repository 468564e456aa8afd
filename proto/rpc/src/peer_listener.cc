#include "peer_listener.h"

#include <fcntl.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "rpc/log.h"
#include "strings.h"

namespace carrel::rpc {
namespace {

constexpr int kBacklog = 128;

sockaddr_un SocketAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof(address.sun_path) - 1));
  return address;
}

int ConnectTo(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return errno;
  const sockaddr_un address = SocketAddress(path);
  const int result = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
  ::close(fd);
  return result;
}

// OK when nothing stands at `path` any more.
absl::Status RemoveStale(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : absl::ErrnoToStatus(errno, StrCat("looking at ", path));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::AlreadyExistsError(StrCat(path, " is there and is no socket: move it away"));
  }
  if (ConnectTo(path) != ECONNREFUSED) {
    return absl::AlreadyExistsError(StrCat("another process serves on ", path));
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return absl::ErrnoToStatus(errno, StrCat("removing the stale socket ", path));
  }
  return absl::OkStatus();
}

// Nobody can connect before listen(2), so the mode is set in time without touching the process's umask.
absl::Status BindAndListen(int fd, const std::string& path, mode_t mode) {
  const sockaddr_un address = SocketAddress(path);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return absl::ErrnoToStatus(errno, StrCat("binding unix:", path));
  }
  if (::chmod(path.c_str(), mode) != 0) return absl::ErrnoToStatus(errno, StrCat("chmod of ", path));
  if (::listen(fd, kBacklog) != 0) return absl::ErrnoToStatus(errno, StrCat("listening on unix:", path));
  return absl::OkStatus();
}

}  // namespace

void Peers::Set(int fd, uid_t uid, pid_t pid) {
  const std::lock_guard lock(mutex_);
  peers_[fd] = StrCat("uid:", uid, " pid:", pid);
}

std::string Peers::Describe(std::string_view grpc_peer) const {
  int fd = -1;
  std::string_view digits = grpc_peer;
  // 1.51 says "fd:7"; percent-encoded or with a scheme in other releases.
  if (const size_t colon = digits.rfind(':'); colon != std::string_view::npos) digits.remove_prefix(colon + 1);
  if (grpc_peer.find("fd") != std::string_view::npos && absl::SimpleAtoi(Absl(digits), &fd)) {
    const std::lock_guard lock(mutex_);
    if (const auto found = peers_.find(fd); found != peers_.end()) return found->second;
  }
  return std::string(grpc_peer);
}

absl::StatusOr<std::unique_ptr<PeerListener>> PeerListener::Listen(std::string path, std::vector<uid_t> allowed_uids) {
  if (auto status = RemoveStale(path); !status.ok()) return status;
  const int listen_fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listen_fd < 0) return absl::ErrnoToStatus(errno, "socket");
  const int stop_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  // Whoever may talk must be able to connect; who may talk is decided at accept.
  const mode_t mode = allowed_uids.empty() ? 0600 : 0666;
  // Owns both descriptors from here on.
  std::unique_ptr<PeerListener> listener(
      new PeerListener(std::move(path), std::move(allowed_uids), listen_fd, stop_fd));
  if (stop_fd < 0) return absl::ErrnoToStatus(errno, "eventfd");
  if (auto status = BindAndListen(listen_fd, listener->path_, mode); !status.ok()) return status;
  struct stat info {};
  if (::lstat(listener->path_.c_str(), &info) == 0) listener->inode_ = info.st_ino;
  return listener;
}

PeerListener::PeerListener(std::string path, std::vector<uid_t> allowed_uids, int listen_fd, int stop_fd)
    : path_(std::move(path)), allowed_uids_(std::move(allowed_uids)), listen_fd_(listen_fd), stop_fd_(stop_fd) {}

PeerListener::~PeerListener() {
  Stop();
  if (stop_fd_ >= 0) ::close(stop_fd_);
}

void PeerListener::Start(grpc::Server* server) {
  thread_ = std::thread([this, server] { Run(server); });
}

void PeerListener::Stop() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    // An eventfd write of 1 cannot fail short of a counter overflow.
    [[maybe_unused]] const ssize_t written = ::write(stop_fd_, &one, sizeof(one));
    thread_.join();
  }
  if (listen_fd_ < 0) return;
  ::close(std::exchange(listen_fd_, -1));
  struct stat info {};
  if (inode_ != 0 && ::lstat(path_.c_str(), &info) == 0 && info.st_ino == inode_) ::unlink(path_.c_str());
}

bool PeerListener::Allowed(uid_t uid) const {
  return uid == ::geteuid() || uid == 0 ||
         std::find(allowed_uids_.begin(), allowed_uids_.end(), uid) != allowed_uids_.end();
}

void PeerListener::Run(grpc::Server* server) {
  for (;;) {
    pollfd items[2] = {{.fd = listen_fd_, .events = POLLIN, .revents = 0},
                       {.fd = stop_fd_, .events = POLLIN, .revents = 0}};
    if (::poll(items, 2, -1) < 0 && errno != EINTR) {
      Log(LogLevel::kError, "listener", {{"path", path_}, {"error", std::strerror(errno)}});
      return;
    }
    if (items[1].revents != 0) return;
    if (items[0].revents != 0) AcceptOne(server);
  }
}

void PeerListener::AcceptOne(grpc::Server* server) {
  const int fd = ::accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      Log(LogLevel::kWarning, "listener", {{"path", path_}, {"error", std::strerror(errno)}});
      absl::SleepFor(absl::Milliseconds(100));  // The connection stays pending, and so would poll(2): do not spin.
    }
    return;
  }
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || !Allowed(peer.uid)) {
    Log(LogLevel::kWarning, "peer_refused",
        {{"path", path_}, {"uid", static_cast<uint64_t>(peer.uid)}, {"pid", static_cast<int64_t>(peer.pid)}});
    ::close(fd);
    return;
  }
  peers_.Set(fd, peer.uid, peer.pid);
  grpc::AddInsecureChannelFromFd(server, fd);
}

}  // namespace carrel::rpc
