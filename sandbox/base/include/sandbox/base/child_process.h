// A program started as a child process, owned by its pidfd.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sandbox/base/unique_fd.h"

namespace carrel {

// How a process ended, as waitid tells it.
struct ExitStatus {
  int exit_code = 0;  // when signal == 0
  int signal = 0;
  [[nodiscard]] bool ok() const { return exit_code == 0 && signal == 0; }
};

// From a status as waitpid gives it.
[[nodiscard]] ExitStatus ExitStatusFromWait(int wait_status);
// "exited with 3", "killed by signal 9 (Killed)".
[[nodiscard]] std::string Describe(const ExitStatus& status);

// What is done in the child between fork and exec, beyond descriptors: a function that is async-signal-safe and gives 0
// or errno. `context` is its own.
struct BeforeExec {
  int (*run)(void* context) noexcept = nullptr;
  void* context = nullptr;
};

struct SpawnOptions {
  std::vector<std::string> argv;  // argv[0] is the program's path when `program` is not given
  // An open executable (O_PATH will do), for a program whose path the child could not follow.
  int program = -1;
  // "NAME=VALUE". Not set: the caller's environment.
  std::optional<std::vector<std::string>> env;
  // {descriptor here, number there}. 0, 1 and 2 are inherited unless named; nothing else is.
  std::vector<std::pair<int, int>> fds;
  std::string directory;  // empty: the caller's
  // true: SIGKILL to the child when the thread that started it ends. Only sensible for threads that live on.
  bool dies_with_parent = false;
  bool own_session = false;  // setsid
  BeforeExec before_exec;
};

// Owns one child process. Destroying it kills the process (SIGKILL) and reaps it. Not thread-safe.
class [[nodiscard]] ChildProcess final {
 public:
  // Starts it. An error after the fork (a program that is not there, a step of before_exec) is reported here, with its
  // stage. All signals are unblocked and have their default action in the child, but for ignored SIGPIPE: default too.
  [[nodiscard]] static absl::StatusOr<ChildProcess> Spawn(const SpawnOptions& options);
  // Adopts a child of ours.
  [[nodiscard]] static absl::StatusOr<ChildProcess> Adopt(pid_t pid);

  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Readable when it has ended; for poll.
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  // OK also when it has ended already.
  absl::Status Signal(int signal);  // NOLINT(modernize-use-nodiscard): often sent to what may be gone
  // The end, if it came before `timeout` (zero: just looks). Reaps; afterwards gives the same again.
  [[nodiscard]] std::optional<ExitStatus> Wait(absl::Duration timeout);

 private:
  ChildProcess(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  void KillAndReap();

  pid_t pid_ = -1;
  UniqueFd pidfd_;
  std::optional<ExitStatus> end_;
};

}  // namespace carrel
