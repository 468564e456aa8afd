// A server of our own for a benchmark: carrel-jailer with it, in a temporary directory, with this machine's
// configuration.
#pragma once

#include <grpcpp/channel.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/place.h"
#include "sandbox/base/child_process.h"
#include "sandbox/base/temp_dir.h"

namespace carrel::cli {

struct BenchServerOptions {
  std::string program;                // beside ours: "carrel-interpreter"
  std::string policies;               // below share/carrel: "runtimes"
  std::vector<std::string> settings;  // "section.key=value", which the configuration's own come after
};

// Ends with its owner, and with a benchmark that was interrupted; its directory goes with it.
class BenchServer final {
 public:
  // UNAVAILABLE: it ended, or did not listen within two minutes; its own words are on stderr.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<BenchServer>> Start(const Place& place,
                                                                          const BenchServerOptions& options);

  [[nodiscard]] const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  [[nodiscard]] absl::Time started() const { return started_; }
  [[nodiscard]] pid_t jailer_pid() const { return jailer_->pid(); }
  // Where its files are: data/ below.
  [[nodiscard]] const std::string& directory() const { return directory_->path(); }

 private:
  BenchServer() = default;

  std::optional<TempDir> directory_;
  std::optional<ChildProcess> jailer_;
  absl::Time started_;
  std::shared_ptr<grpc::Channel> channel_;
};

// A channel to a server that answers within `timeout`.
[[nodiscard]] absl::StatusOr<std::shared_ptr<grpc::Channel>> ConnectTo(const std::string& address,
                                                                       absl::Duration timeout);

}  // namespace carrel::cli
