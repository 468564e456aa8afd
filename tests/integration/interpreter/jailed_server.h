// carrel-jailer with carrel-interpreter, as they are installed, on a unix socket in a directory of its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/base/child_process.h"
#include "sandbox/base/temp_dir.h"

namespace carrel::testing {

class JailedServer final {
 public:
  // The directory of runtimes that was built.
  [[nodiscard]] static std::string BuiltRuntimes();
  // Starts them and waits until sessions of Python can be made. The tier is $CARREL_TEST_TIER, or the best there is.
  // `runtimes`: directories for the jailer; none: what it chooses itself.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<JailedServer>> Start(
      const std::vector<std::string>& server_arguments = {}, const std::vector<std::string>& jailer_arguments = {},
      const std::vector<std::string>& runtimes = {BuiltRuntimes()});
  // For grpc: "unix:...".
  [[nodiscard]] std::string address() const { return "unix:" + directory_.path() + "/data/interpreter.sock"; }
  [[nodiscard]] ChildProcess& jailer() { return jailer_; }
  // kill -9 of the jailer, and another on the same data directory.
  [[nodiscard]] absl::Status KillAndRestart();

 private:
  JailedServer(TempDir directory, std::vector<std::string> arguments, ChildProcess jailer)
      : directory_(std::move(directory)), arguments_(std::move(arguments)), jailer_(std::move(jailer)) {}
  [[nodiscard]] absl::Status AwaitReady();

  TempDir directory_;
  std::vector<std::string> arguments_;  // the jailer's
  ChildProcess jailer_;
};

}  // namespace carrel::testing
