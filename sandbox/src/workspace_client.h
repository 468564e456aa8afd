// The server's end of a session's porter.
#pragma once

#include <sys/vfs.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "porter_protocol.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/jail.h"

namespace carrel::sandbox {

// Thread-safe: every request has a socket of its own for its answer. DEADLINE_EXCEEDED: the porter leaves it
// unanswered.
class WorkspaceClient final : public Workspace {
 public:
  // `workspace` (O_PATH, may be unset) tells without the porter that nothing is in it; `files_max`: the limit of its
  // inodes.
  explicit WorkspaceClient(UniqueFd porter, UniqueFd workspace = {}, uint64_t files_max = 0);

  [[nodiscard]] absl::StatusOr<WorkspaceListing> List(const ListOptions& options) override;
  [[nodiscard]] absl::StatusOr<OpenedFile> OpenRead(const std::string& path) override;
  [[nodiscard]] absl::StatusOr<WorkspaceEntry> Write(const std::string& path, UniqueFd source,
                                                     const WriteOptions& options) override;
  [[nodiscard]] absl::Status MakeDirectory(const std::string& path, const WriteOptions& options) override;
  [[nodiscard]] absl::StatusOr<bool> Remove(const std::string& path) override;
  [[nodiscard]] absl::Status KillAll();
  [[nodiscard]] absl::Status InterruptAll();
  // Lets go of `workspace`. To be called before the session is ended: whoever holds an image last waits for its
  // unmounting, and that had better be the session's own init.
  void ForgetRoot();

 private:
  // statfs of the root; nullopt: there is none.
  [[nodiscard]] std::optional<struct statfs> StatRoot() const;

  // SIGKILL or SIGINT to everything. A session that is gone has nobody left to signal.
  [[nodiscard]] absl::Status SignalAll(PorterRequestKind kind);
  // Sends the request; gives the socket of the answers.
  [[nodiscard]] absl::StatusOr<UniqueFd> Ask(PorterRequest request, const std::string& path, int source = -1);

  UniqueFd porter_;
  mutable std::mutex mutex_;
  UniqueFd workspace_;  // guarded by mutex_
  uint64_t files_max_;
};

}  // namespace carrel::sandbox
