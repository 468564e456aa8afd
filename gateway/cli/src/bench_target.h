// The interpreter that is measured: one of our own in a temporary directory, or somebody's.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench_server.h"
#include "carrel/interpreter/v1/code_interpreter.grpc.pb.h"
#include "cli/bench.h"

namespace carrel::cli {

// What came of one call.
struct BenchRun {
  grpc::Status status;
  std::string session_id;
  std::string out;
  std::string result;  // text/plain of the last expression
  interpreter::v1::Outcome outcome;
};

class BenchTarget final {
 public:
  // Starts the server, or connects. UNAVAILABLE with the server's own words on stderr.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<BenchTarget>> Open(const Place& place,
                                                                         const BenchOptions& options);

  [[nodiscard]] BenchRun Execute(const std::string& session_id, const std::string& code,
                                 const interpreter::v1::Limits& limits = {});
  // Its id.
  [[nodiscard]] absl::StatusOr<std::string> Create(const interpreter::v1::Limits& limits = {});
  [[nodiscard]] absl::Status Delete(const std::string& session_id);
  [[nodiscard]] absl::StatusOr<interpreter::v1::Statistics> Statistics();
  [[nodiscard]] absl::StatusOr<interpreter::v1::Capabilities> Capabilities();
  // Waits until the pool is full, as a user finds it who does not come in a crowd. Gives its size.
  [[nodiscard]] uint64_t AwaitPool();
  // Waits until no session is there.
  [[nodiscard]] bool AwaitNoSessions();

  // Of our own server: its jailer, and the milliseconds from its start to its first session's first result. -1:
  // another's.
  [[nodiscard]] pid_t jailer_pid() const { return own_ ? own_->jailer_pid() : -1; }
  // Where it keeps its files; "" of another's.
  [[nodiscard]] std::string directory() const { return own_ ? own_->directory() : ""; }
  [[nodiscard]] double cold_start_ms() const { return cold_start_ms_; }

 private:
  BenchTarget() = default;
  [[nodiscard]] absl::Status StartOwn(const Place& place);

  std::unique_ptr<BenchServer> own_;  // null: somebody else's
  std::unique_ptr<interpreter::v1::CodeInterpreter::Stub> stub_;
  double cold_start_ms_ = -1;
};

}  // namespace carrel::cli
