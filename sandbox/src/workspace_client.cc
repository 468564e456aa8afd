#include "workspace_client.h"

#include <linux/magic.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "sandbox/base/error.h"
#include "sandbox/base/message_socket.h"

namespace carrel::sandbox {
namespace {

// A porter that leaves a question unanswered for so long is stopped, or waits for memory that it does not get.
constexpr absl::Duration kAnswerMax = absl::Seconds(30);
constexpr absl::Duration kSignalMax = absl::Seconds(5);
// An upload is read to its end first, and its source may be slow.
constexpr absl::Duration kUploadMax = absl::Minutes(30);
constexpr char kSilent[] = "the session's init does not answer";

// The porter is a program of ours, but it lives next to hostile code: what it says is checked like a stranger's word.
struct Answer {
  PorterReply reply;
  std::string entries;
  std::vector<UniqueFd> fds;
};

absl::StatusOr<Answer> Receive(int socket, absl::Duration patience = kAnswerMax) {
  pollfd polled{.fd = socket, .events = POLLIN, .revents = 0};
  const absl::Time deadline = absl::Now() + patience;
  int ready;
  do {
    const timespec left = absl::ToTimespec(std::max(deadline - absl::Now(), absl::ZeroDuration()));
    ready = ::ppoll(&polled, 1, &left, nullptr);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return absl::DeadlineExceededError(kSilent);
  std::vector<std::byte> buffer(kPorterMessageBytesMax);
  auto received = ReceiveMessage(socket, buffer);
  if (!received.ok()) return received.status();
  if (received->fds_lost) return absl::ResourceExhaustedError("the server has no descriptor left (RLIMIT_NOFILE)");
  if (received->size == 0) return absl::UnavailableError("the session is gone");
  Answer answer;
  if (received->size < sizeof answer.reply) return absl::DataLossError("the porter's answer is cut off");
  std::memcpy(&answer.reply, buffer.data(), sizeof answer.reply);
  answer.entries.assign(reinterpret_cast<const char*>(buffer.data()) + sizeof answer.reply,
                        received->size - sizeof answer.reply);
  answer.fds = std::move(received->fds);
  return answer;
}

absl::Status ParseEntries(const Answer& answer, std::vector<WorkspaceEntry>* entries) {
  size_t at = 0;
  for (uint32_t i = 0; i < answer.reply.count; ++i) {
    PorterEntry wire;
    if (answer.entries.size() - at < sizeof wire) return absl::DataLossError("the porter's answer is cut off");
    std::memcpy(&wire, answer.entries.data() + at, sizeof wire);
    at += sizeof wire;
    if (answer.entries.size() - at < wire.path_bytes || wire.kind > uint32_t(WorkspaceEntry::Kind::kDevice)) {
      return absl::DataLossError("the porter's answer is cut off");
    }
    WorkspaceEntry entry{.path = answer.entries.substr(at, wire.path_bytes),
                         .size_bytes = wire.size_bytes,
                         .blocks_bytes = wire.blocks_bytes,
                         .inode = wire.inode,
                         .modified_ns = wire.modified_ns,
                         .changed_ns = wire.changed_ns,
                         .mode = wire.mode,
                         .kind = static_cast<WorkspaceEntry::Kind>(wire.kind)};
    entries->push_back(std::move(entry));
    at += wire.path_bytes;
  }
  return absl::OkStatus();
}

// The other end is held by the session's init.
bool IsConnected(const UniqueFd& porter) {
  pollfd polled{.fd = porter.get(), .events = 0, .revents = 0};
  return ::poll(&polled, 1, 0) == 0;
}

// True only when nothing but the root is there, as the kernel counts inodes: of `files` all but one are free, on a
// tmpfs as in an image (disk_image.h). After most calls it is so, and the porter need not be woken.
bool IsEmpty(const struct statfs& root, uint64_t files) {
  if (root.f_type == TMPFS_MAGIC) return root.f_files > 0 && root.f_files - root.f_ffree == 1;
  return root.f_type == EXT4_SUPER_MAGIC && root.f_ffree + 1 == files;
}

bool IsFull(const struct statfs& root) { return root.f_bavail == 0 || root.f_ffree == 0; }

PorterRequest WithOptions(PorterRequestKind kind, const WriteOptions& options) {
  return {.kind = kind,
          .replace = options.replace ? 1U : 0U,
          .modified_ns = options.modified_ns.value_or(0),
          .has_modified = options.modified_ns ? 1U : 0U,
          .mode = options.mode};
}

absl::Status FileError(int error, const std::string& path) {
  switch (error) {
    case EINVAL:  // not a regular file, or a path that leaves the workspace
    case ELOOP:
    case EXDEV:
    case EISDIR:
    case ENOTDIR:
    case ENOTEMPTY:
      return absl::FailedPreconditionError(absl::StrCat(path, ": ", std::strerror(error)));
    case ENOMEM:
    case ENOSPC:
      return absl::ResourceExhaustedError(absl::StrCat(path, ": ", std::strerror(error)));
    default:
      return ErrnoStatus(error, path);
  }
}

}  // namespace

WorkspaceClient::WorkspaceClient(UniqueFd porter, UniqueFd workspace, uint64_t files_max)
    : porter_(std::move(porter)), workspace_(std::move(workspace)), files_max_(files_max) {
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  ::setsockopt(porter_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

absl::Status WorkspaceClient::MakeDirectory(const std::string& path, const WriteOptions& options) {
  auto socket = Ask(WithOptions(PorterRequestKind::kMakeDirectory, options), path);
  if (!socket.ok()) return socket.status();
  auto answer = Receive(socket->get());
  if (!answer.ok()) return answer.status();
  return answer->reply.error == 0 ? absl::OkStatus() : FileError(answer->reply.error, path);
}

absl::StatusOr<UniqueFd> WorkspaceClient::Ask(PorterRequest request, const std::string& path, int source) {
  if (path.size() > kPorterPathBytesMax) return absl::InvalidArgumentError("the path is too long");
  auto pair = MakeSocketPair();
  if (!pair.ok()) return pair.status();
  request.path_bytes = static_cast<uint32_t>(path.size());
  std::string bytes(reinterpret_cast<const char*>(&request), sizeof request);
  bytes += path;
  const std::array<int, 2> fds{pair->second.get(), source};
  const absl::Status sent =
      SendMessage(porter_.get(), std::as_bytes(std::span(bytes)), std::span(fds).first(source >= 0 ? 2 : 1));
  if (absl::IsUnavailable(sent)) return absl::UnavailableError("the session is gone");
  if (absl::IsResourceExhausted(sent)) return absl::DeadlineExceededError(kSilent);  // its queue stays full
  if (!sent.ok()) return sent;
  return std::move(pair->first);
}

absl::StatusOr<WorkspaceListing> WorkspaceClient::List(const ListOptions& options) {
  if (const auto root = StatRoot(); root && IsEmpty(*root, files_max_) && IsConnected(porter_)) {
    return WorkspaceListing{};
  }
  auto socket = Ask({.kind = PorterRequestKind::kList,
                     .depth_max = options.depth_max,
                     .entries_max = options.entries_max,
                     .time_max_ms = static_cast<uint64_t>(absl::ToInt64Milliseconds(options.time_max))},
                    "");
  if (!socket.ok()) return socket.status();
  WorkspaceListing listing;
  while (true) {
    auto answer = Receive(socket->get());
    if (!answer.ok()) return answer.status();
    if (answer->reply.error != 0) return FileError(answer->reply.error, "list");
    if (absl::Status s = ParseEntries(*answer, &listing.entries); !s.ok()) return s;
    if (listing.entries.size() > options.entries_max) return absl::DataLossError("the porter lists more than asked");
    listing.incomplete = answer->reply.incomplete != 0;
    if (answer->reply.more != 0) continue;
    const auto root = StatRoot();
    listing.full = root && IsFull(*root);
    return listing;
  }
}

absl::StatusOr<OpenedFile> WorkspaceClient::OpenRead(const std::string& path) {
  auto socket = Ask({.kind = PorterRequestKind::kOpen}, path);
  if (!socket.ok()) return socket.status();
  auto answer = Receive(socket->get());
  if (!answer.ok()) return answer.status();
  if (answer->reply.error != 0) return FileError(answer->reply.error, path);
  struct stat about {};
  if (answer->fds.size() != 1 || ::fstat(answer->fds[0].get(), &about) != 0 || !S_ISREG(about.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": not a regular file"));
  }
  return OpenedFile{.fd = std::move(answer->fds[0]), .size_bytes = static_cast<uint64_t>(about.st_size)};
}

absl::StatusOr<WorkspaceEntry> WorkspaceClient::Write(const std::string& path, UniqueFd source,
                                                      const WriteOptions& options) {
  auto socket = Ask(WithOptions(PorterRequestKind::kWrite, options), path, source.get());
  if (!socket.ok()) return socket.status();
  source.reset();
  auto answer = Receive(socket->get(), kUploadMax);
  if (!answer.ok()) return answer.status();
  if (answer->reply.error != 0) return FileError(answer->reply.error, path);
  std::vector<WorkspaceEntry> entries;
  if (absl::Status s = ParseEntries(*answer, &entries); !s.ok()) return s;
  if (entries.size() != 1) return absl::DataLossError("the porter's answer is cut off");
  return std::move(entries[0]);
}

absl::StatusOr<bool> WorkspaceClient::Remove(const std::string& path) {
  auto socket = Ask({.kind = PorterRequestKind::kRemove}, path);
  if (!socket.ok()) return socket.status();
  auto answer = Receive(socket->get());
  if (!answer.ok()) return answer.status();
  if (answer->reply.error == ENOENT) return false;
  if (answer->reply.error != 0) return FileError(answer->reply.error, path);
  return true;
}

std::optional<struct statfs> WorkspaceClient::StatRoot() const {
  const std::lock_guard lock(mutex_);
  struct statfs about {};
  if (!workspace_ || ::fstatfs(workspace_.get(), &about) != 0) return std::nullopt;
  return about;
}

void WorkspaceClient::ForgetRoot() {
  const std::lock_guard lock(mutex_);
  workspace_.reset();
}

absl::Status WorkspaceClient::KillAll() { return SignalAll(PorterRequestKind::kKillAll); }

absl::Status WorkspaceClient::InterruptAll() { return SignalAll(PorterRequestKind::kInterruptAll); }

absl::Status WorkspaceClient::SignalAll(PorterRequestKind kind) {
  auto socket = Ask({.kind = kind}, "");
  if (absl::IsUnavailable(socket.status())) return absl::OkStatus();
  if (!socket.ok()) return socket.status();
  auto answer = Receive(socket->get(), kSignalMax);
  if (absl::IsUnavailable(answer.status())) return absl::OkStatus();
  if (!answer.ok()) return answer.status();
  return answer->reply.error == 0 ? absl::OkStatus() : ErrnoStatus(answer->reply.error, "kill");
}

}  // namespace carrel::sandbox
