#include "porter.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "sandbox/base/message_socket.h"

namespace carrel::sandbox {
namespace {

// One step of an upload: small enough that others are served in between.
constexpr size_t kCopyBytes = 256 << 10;
constexpr size_t kUploadsMax = 32;

void AppendEntry(const WorkspaceEntry& entry, std::string* bytes) {
  const PorterEntry wire{.size_bytes = entry.size_bytes,
                         .blocks_bytes = entry.blocks_bytes,
                         .inode = entry.inode,
                         .modified_ns = entry.modified_ns,
                         .changed_ns = entry.changed_ns,
                         .kind = static_cast<uint32_t>(entry.kind),
                         .path_bytes = static_cast<uint32_t>(entry.path.size()),
                         .mode = entry.mode};
  bytes->append(reinterpret_cast<const char*>(&wire), sizeof wire);
  bytes->append(entry.path);
}

// False when the server does not listen (any more), which is its own loss.
bool SendReply(int socket, const PorterReply& reply, std::string_view entries = {}, int fd = -1) {
  std::string bytes(reinterpret_cast<const char*>(&reply), sizeof reply);
  bytes.append(entries);
  return SendMessage(socket, std::as_bytes(std::span(bytes)), std::span<const int>(&fd, fd >= 0 ? 1 : 0)).ok();
}

void SendError(int socket, int error) { (void)SendReply(socket, {.error = error}); }

WriteOptions OptionsOf(const PorterRequest& request) {
  WriteOptions options{.replace = request.replace != 0, .mode = request.mode};
  if (request.has_modified != 0) options.modified_ns = request.modified_ns;
  return options;
}

}  // namespace

int Porter::SignalNamespace(int signal) { return ::kill(-1, signal) == 0 || errno == ESRCH ? 0 : errno; }

void Porter::AddTo(std::vector<pollfd>* polled) const {
  if (socket_) polled->push_back({.fd = socket_.get(), .events = POLLIN, .revents = 0});
  for (const Upload& upload : uploads_) {
    polled->push_back({.fd = upload.source.get(), .events = POLLIN, .revents = 0});
  }
}

void Porter::Serve(const std::vector<pollfd>& polled, size_t first) {
  size_t at = first;
  const bool request = socket_ && polled[at++].revents != 0;
  for (Upload& upload : uploads_) {
    if (polled[at++].revents != 0) Continue(&upload);
  }
  std::erase_if(uploads_, [](const Upload& upload) { return upload.done; });
  if (request) Receive();
}

void Porter::Receive() {
  std::array<std::byte, sizeof(PorterRequest) + kPorterPathBytesMax> buffer;
  auto received = ReceiveMessage(socket_.get(), buffer);
  if (!received.ok() || received->size == 0) {
    // No server any more; the jailer will end us when it wants to.
    socket_.reset();
    return;
  }
  PorterRequest request;
  if (received->size < sizeof request || received->fds.empty()) return;
  std::memcpy(&request, buffer.data(), sizeof request);
  UniqueFd reply = std::move(received->fds[0]);
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  ::setsockopt(reply.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (request.path_bytes != received->size - sizeof request) return SendError(reply.get(), EINVAL);
  const std::string path(reinterpret_cast<const char*>(buffer.data()) + sizeof request, request.path_bytes);
  switch (request.kind) {
    case PorterRequestKind::kList:
      return SendListing(reply.get(), request);
    case PorterRequestKind::kOpen: {
      const OpenOutcome opened = OpenWorkspaceFile(workspace_.get(), path);
      if (opened.error != 0) return SendError(reply.get(), opened.error);
      (void)SendReply(reply.get(), {}, {}, opened.fd.get());
      return;
    }
    case PorterRequestKind::kWrite:
      if (received->fds.size() != 2) return SendError(reply.get(), EINVAL);
      return StartUpload(request, path, std::move(reply), std::move(received->fds[1]));
    case PorterRequestKind::kRemove:
      return SendError(reply.get(), RemoveWorkspaceFile(workspace_.get(), path));
    case PorterRequestKind::kKillAll:
      return SendError(reply.get(), signal_all_(SIGKILL));
    case PorterRequestKind::kInterruptAll:
      return SendError(reply.get(), signal_all_(SIGINT));
    case PorterRequestKind::kMakeDirectory:
      return SendError(reply.get(), MakeWorkspaceDirectory(workspace_.get(), path, owner_, OptionsOf(request)));
  }
  SendError(reply.get(), EINVAL);
}

void Porter::StartUpload(const PorterRequest& request, const std::string& path, UniqueFd reply, UniqueFd source) {
  if (uploads_.size() >= kUploadsMax) return SendError(reply.get(), EAGAIN);
  // A source that says "readable" and then is not must not hold us.
  if (!SetNonBlocking(source.get()).ok()) return SendError(reply.get(), EBADF);
  auto created = NewFile::Create(workspace_.get(), path, owner_, OptionsOf(request));
  if (created.error != 0) return SendError(reply.get(), created.error);
  uploads_.push_back({std::move(reply), std::move(source), std::move(created.file), false});
}

void Porter::Continue(Upload* upload) {
  static std::array<char, kCopyBytes> buffer;
  const ssize_t got = ::read(upload->source.get(), buffer.data(), buffer.size());
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  int error = got < 0 ? errno : 0;
  for (ssize_t done = 0; error == 0 && done < got;) {
    const ssize_t written =
        ::write(upload->file.fd(), buffer.data() + done, static_cast<size_t>(got) - static_cast<size_t>(done));
    if (written < 0 && errno != EINTR) error = errno;
    if (written > 0) done += written;
  }
  if (error == 0 && got > 0) return;
  upload->done = true;
  if (error == 0) error = upload->file.Finish(proc_);
  if (error != 0) return SendError(upload->reply.get(), error);
  std::string entry;
  AppendEntry(DescribeFile(upload->file.path(), upload->file.fd()), &entry);
  (void)SendReply(upload->reply.get(), {.count = 1}, entry);
}

void Porter::SendListing(int reply, const PorterRequest& request) {
  const ListOptions options{.entries_max = request.entries_max,
                            .depth_max = request.depth_max,
                            .time_max = absl::Milliseconds(request.time_max_ms)};
  const WorkspaceListing listing = ListWorkspace(workspace_.get(), options);
  std::string bytes;
  uint32_t count = 0;
  for (const WorkspaceEntry& entry : listing.entries) {
    if (sizeof(PorterReply) + bytes.size() + sizeof(PorterEntry) + entry.path.size() > kPorterMessageBytesMax) {
      // Each part may have to wait for a server that reads slowly: for one that does not read, once is enough.
      if (!SendReply(reply, {.more = 1, .count = std::exchange(count, 0)}, std::exchange(bytes, {}))) return;
    }
    AppendEntry(entry, &bytes);
    ++count;
  }
  (void)SendReply(reply, {.incomplete = listing.incomplete ? 1U : 0U, .count = count}, bytes);
}

}  // namespace carrel::sandbox
