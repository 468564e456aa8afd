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
  // Starts them and waits until sessions can be made. The tier is $CARREL_TEST_TIER, or the best there is.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<JailedServer>> Start(
      std::vector<std::string> server_arguments = {});
  // For grpc: "unix:...".
  [[nodiscard]] std::string address() const { return "unix:" + directory_.path() + "/data/interpreter.sock"; }
  [[nodiscard]] ChildProcess& jailer() { return jailer_; }

 private:
  JailedServer(TempDir directory, ChildProcess jailer) : directory_(std::move(directory)), jailer_(std::move(jailer)) {}
  TempDir directory_;
  ChildProcess jailer_;
};

}  // namespace carrel::testing
