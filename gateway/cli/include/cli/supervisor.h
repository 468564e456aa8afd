// Keeps a few processes alive: starts them, waits until they are healthy, replaces what dies and what does not answer
// any more, stops all in order.
//
// What has worked once is never given up: it is started again and again, ever less often. What has never worked is
// given up soon, for its configuration or this machine are wrong, and its own words say how.
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
  // OK once it answers at all, whatever the others do: what a restart waits for, for `health` may wait for others that
  // are gone. Must return soon. Not set: `health`.
  std::function<absl::Status()> answers;
  // OK as long as it answers at all, whatever the others do; what fails for `SupervisorLimits::hung` is killed. Must
  // return soon. Not set: `health`.
  std::function<absl::Status()> alive;
};

struct SupervisorLimits {
  absl::Duration start_max;                          // until it is healthy, else it is killed and counts as dead
  absl::Duration stop_max;                           // from SIGTERM to SIGKILL, for each
  absl::Duration steady = absl::Seconds(30);         // healthy for that long: earlier deaths are forgotten
  absl::Duration backoff = absl::Milliseconds(200);  // before the first restart; doubles
  absl::Duration backoff_max = absl::Seconds(10);
  // Of a program that was never healthy: after so many deaths it is given up; after two when none was by a signal,
  // which somebody else sends.
  uint32_t deaths_max = 5;
  absl::Duration check_every = absl::Seconds(2);  // of what is healthy
  // It has been healthy, and then not answered for that long: it is killed, and counts as dead.
  absl::Duration hung = absl::Seconds(30);
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

  // Until a signal comes (OK), a program that was never healthy dies again and again (UNAVAILABLE, with the sentence),
  // or exits with 2 on its first start (INVALID_ARGUMENT: its configuration). All programs have ended when it returns.
  [[nodiscard]] absl::Status Run(rpc::ShutdownSignals& signals);

 private:
  struct Entry {
    SupervisedProgram program;
    std::optional<ChildProcess> process;
    bool healthy = false;
    bool was_healthy = false;  // ever
    absl::Time started;
    absl::Time next;      // start (no process), or health check
    absl::Time answered;  // when it last did
    uint32_t unanswered = 0;
    uint32_t deaths = 0;
    bool only_signals = true;  // all of these deaths
    std::string last_complaint;
  };

  absl::Status Step(Entry& entry);
  absl::Status Start(Entry& entry);
  [[nodiscard]] bool OthersAreHealthy(const Entry& entry) const;
  absl::Status CheckStarting(Entry& entry);
  // Of what was healthy: does it still answer?
  absl::Status CheckAlive(Entry& entry);
  // It exited with 2 and never worked.
  absl::Status Refused(Entry& entry, const std::string& how);
  // Kills it; then as Died.
  absl::Status Replace(Entry& entry, std::string why);
  // Counts it, and says when it is started again; an error: it is given up.
  absl::Status Died(Entry& entry, std::string how, bool by_signal);
  // Cannot be started now.
  absl::Status NotStarted(Entry& entry, const absl::Status& why);
  // When to try again.
  absl::Duration Delay(const Entry& entry) const;
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
