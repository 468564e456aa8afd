// The data directory of one `carrel serve`: made, locked, and reachable for the servers.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/place.h"
#include "sandbox/base/unique_fd.h"

namespace carrel::cli {

// The uid that a part's server runs as in tier `full`; nothing in `userns` (our own). Just below the range that the
// jailer gives to sessions, and one for each part: they do not read each other's data either.
[[nodiscard]] std::optional<uid_t> ServerUid(const Place& place, Part part);

// As ServerUid, of the gateway: again a user of its own, whom the two servers accept at their sockets.
[[nodiscard]] std::optional<uid_t> GatewayUid(const Place& place);
// The gateway's own directory: DATA/gateway.
[[nodiscard]] std::string GatewayDirOf(const Place& place);

// DATA (0700, in tier `full` 0711: the servers pass through it), DATA/run/<part> and DATA/<part> (0700, the server's
// own; the gateway's group passes through the former), DATA/gateway (the gateway's own), and links to the sockets.
// FAILED_PRECONDITION when a server could not reach them: a directory above DATA is closed to others.
[[nodiscard]] absl::Status PrepareDataDir(const Place& place);

// One `carrel serve` per data directory. The lock is the kernel's and ends with the process, however that ends.
class DataDirLock final {
 public:
  // ALREADY_EXISTS: another process has it; the message says which.
  [[nodiscard]] static absl::StatusOr<DataDirLock> Take(const std::string& data_dir);

 private:
  explicit DataDirLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace carrel::cli
