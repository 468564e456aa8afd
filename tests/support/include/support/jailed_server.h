// A jailer with its server, as they are deployed, for a test: on a unix socket in a directory of its own, and gone with
// everything they made when the test is over.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/base/child_process.h"
#include "sandbox/base/temp_dir.h"
#include "support/leftovers.h"

namespace carrel::testing {

enum class Tier {
  kFull,    // as root, with control groups
  kUserns,  // as an ordinary user, with --allow-no-cgroup; root becomes one
  // In a restricted pod, which takes root to make: an ordinary user without capabilities, no_new_privs, a runtime's
  // default filter (restricted_pod.syscalls), a tmpfs each at /mnt/data, /tmp and /dev/shm; with --allow-no-cgroup.
  kConfined,
};

// "Full", "Userns", "Confined".
[[nodiscard]] const char* NameOf(Tier tier);

struct JailedServerOptions {
  Tier tier = Tier::kFull;
  std::string server = "carrel-interpreter";     // its name in build/bin
  std::string socket = "interpreter.sock";       // its name in the data directory
  std::vector<std::string> server_arguments;     // after --data and --listen
  std::string refused_calls;                     // a world where these do not work: a policy for without_calls
  absl::Duration start_max = absl::Seconds(60);  // until it answers its health check
};

// Not thread-safe; the channel is. At most one at a time in a process.
class JailedServer final {
 public:
  // FAILED_PRECONDITION: this user cannot have that tier. UNAVAILABLE: it did not come up; the reason is in its log,
  // on the test's stderr.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<JailedServer>> Start(const JailedServerOptions& options);
  // Stops it; a test that cares about what is left calls Stop itself.
  ~JailedServer();

  [[nodiscard]] const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  // For grpc: "unix:...".
  [[nodiscard]] std::string address() const { return "unix:" + socket_; }
  [[nodiscard]] pid_t jailer() const { return jailer_.pid(); }
  // Processes of the jailer, itself not counted: the server, the nursery, zygotes, and all sessions.
  [[nodiscard]] std::vector<pid_t> Processes() const { return Descendants(jailer_.pid()); }

  // Ends the jailer politely, by force after a while. What was left behind, one thing a line; "" when nothing.
  [[nodiscard]] std::string Stop();
  // Ends it with SIGKILL. The same.
  [[nodiscard]] std::string Kill();

 private:
  JailedServer(std::unique_ptr<LeftoverWatch> watch, TempDir directory, ChildProcess jailer, std::string socket)
      : watch_(std::move(watch)),
        directory_(std::move(directory)),
        jailer_(std::move(jailer)),
        socket_(std::move(socket)) {}

  std::unique_ptr<LeftoverWatch> watch_;
  TempDir directory_;
  ChildProcess jailer_;
  std::string socket_;
  std::shared_ptr<grpc::Channel> channel_;
  bool stopped_ = false;
};

}  // namespace carrel::testing
