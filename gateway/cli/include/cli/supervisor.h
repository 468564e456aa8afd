// Keeps a few processes alive: starts them, waits until they are healthy, restarts what dies, stops all in order.
//
// Single-threaded; every child dies with this process (PDEATHSIG), even when that is killed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "rpc/signals.h"
#include "sandbox/base/child_process.h"

namespace carrel::cli {

struct SupervisedProgram {
  std::string name;  // "interpreter"
  std::vector<std::string> argv;
  // "NAME=VALUE". Not set: ours.
  std::optional<std::vector<std::string>> env;
  // Runs as this user and its group, without other groups and without a way to new privileges. Not set: as we do.
  std::optional<uid_t> uid;
  // It uses those that stand before it: it is started once they are healthy, and has ended before they are told to
  // stop.
  bool uses_the_others = false;
  // What mends it when it does not start: "`carrel doctor` tells what the jail lacks".
  std::string advice;
  // OK once it serves; must return soon (a second).
  std::function<absl::Status()> health;
};

struct SupervisorLimits {
  absl::Duration start_max;                          // until it is healthy, else it is killed and counts as dead
  absl::Duration stop_max;                           // from SIGTERM to SIGKILL, for each
  absl::Duration steady = absl::Seconds(30);         // healthy for that long: earlier deaths are forgotten
  absl::Duration backoff = absl::Milliseconds(200);  // before the first restart; doubles
  absl::Duration backoff_max = absl::Seconds(10);
  uint32_t deaths_max = 5;  // in a row, none of them after `steady`: gives up
};

// What happened, in its order.
struct SupervisorEvent {
  enum class Kind : uint8_t { kStarted, kReady, kDied, kAllReady, kStopping, kStopped };
  Kind kind;
  std::string_view program;  // "": all
  pid_t pid = 0;
  std::string detail;  // how it died, why it is stopped
};

class Supervisor final {
 public:
  using Listener = std::function<void(const SupervisorEvent&)>;
  Supervisor(std::vector<SupervisedProgram> programs, SupervisorLimits limits, Listener listener);
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  ~Supervisor() = default;

  // Until a signal comes (OK), a program dies at once again and again (UNAVAILABLE, with the sentence), or exits with 2
  // on its first start (INVALID_ARGUMENT: its configuration). All programs have ended when it returns.
  [[nodiscard]] absl::Status Run(rpc::ShutdownSignals& signals);

 private:
  struct Entry {
    SupervisedProgram program;
    std::optional<ChildProcess> process;
    bool healthy = false;
    bool was_healthy = false;  // ever
    absl::Time started;
    absl::Time next;  // start (no process), or health check (not healthy)
    uint32_t deaths = 0;
    std::string last_complaint;
  };

  absl::Status Step(Entry& entry);
  absl::Status Start(Entry& entry);
  [[nodiscard]] bool OthersAreHealthy(const Entry& entry) const;
  absl::Status CheckStarting(Entry& entry);
  // It exited with 2 and never worked.
  absl::Status Refused(Entry& entry, const std::string& how);
  // Counts it; an error: too often.
  absl::Status Died(Entry& entry, std::string how);
  void StopAll(const std::string& why);
  // Those that use the others, or those that do not.
  void StopThose(bool uses_the_others);
  void ReportAllReady();

  std::vector<Entry> entries_;
  const SupervisorLimits limits_;
  const Listener listener_;
  bool all_ready_reported_ = false;
};

}  // namespace carrel::cli
