#include "process_jail_maker.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace carrel::testing {
namespace {

using sandbox::Jail;
using sandbox::JailExit;
using sandbox::JailLimits;
using sandbox::JailRequest;

class NoWorkspace final : public sandbox::Workspace {
 public:
  absl::StatusOr<sandbox::WorkspaceListing> List(const sandbox::ListOptions&) override { return None(); }
  absl::StatusOr<sandbox::OpenedFile> OpenRead(const std::string&) override { return None(); }
  absl::StatusOr<sandbox::WorkspaceEntry> Write(const std::string&, UniqueFd, const sandbox::WriteOptions&) override {
    return None();
  }
  absl::Status MakeDirectory(const std::string&, const sandbox::WriteOptions&) override { return None(); }
  absl::StatusOr<bool> Remove(const std::string&) override { return None(); }

 private:
  static absl::Status None() { return absl::UnimplementedError("a plain process has no workspace"); }
};

class ProcessJail final : public Jail {
 public:
  ProcessJail(pid_t pid, JailLimits limits) : pid_(pid), limits_(limits), exit_event_(::eventfd(0, EFD_CLOEXEC)) {}
  ~ProcessJail() override {
    if (!exit()) {
      ::kill(-pid_, SIGKILL);
      static_cast<void>(WaitForExit(absl::InfiniteDuration()));
    }
  }

  std::optional<JailExit> exit() const override { return Reap(WNOHANG); }
  std::optional<JailExit> WaitForExit(absl::Duration timeout) override {
    const absl::Time deadline = absl::Now() + timeout;
    while (true) {
      if (std::optional<JailExit> end = Reap(WNOHANG)) return end;
      if (absl::Now() >= deadline) return std::nullopt;
      absl::SleepFor(absl::Milliseconds(1));
    }
  }
  int exit_fd() const override { return exit_event_.get(); }
  absl::Status Interrupt() override {
    ::kill(pid_, SIGINT);
    return absl::OkStatus();
  }
  absl::Status InterruptAll() override { return Interrupt(); }
  absl::Status KillAll() override {
    if (!exit()) ::kill(-pid_, SIGKILL);
    return absl::OkStatus();
  }
  absl::StatusOr<sandbox::JailStats> Stats() override { return sandbox::JailStats{}; }
  sandbox::Workspace& workspace() override { return workspace_; }
  const JailLimits& limits() const override { return limits_; }

 private:
  std::optional<JailExit> Reap(int flags) const {
    const std::lock_guard lock(mutex_);
    if (end_) return end_;
    int status = 0;
    if (::waitpid(pid_, &status, flags) != pid_) return std::nullopt;
    end_ = WIFSIGNALED(status) ? JailExit{.signal = WTERMSIG(status)} : JailExit{.exit_code = WEXITSTATUS(status)};
    const uint64_t one = 1;
    static_cast<void>(::write(exit_event_.get(), &one, sizeof one) == sizeof one);
    return end_;
  }

  const pid_t pid_;
  const JailLimits limits_;
  const UniqueFd exit_event_;
  mutable std::mutex mutex_;
  mutable std::optional<JailExit> end_;
  NoWorkspace workspace_;
};

void Limit(__rlimit_resource resource, uint64_t value) {
  if (value == 0) return;
  const struct rlimit limit { .rlim_cur = value, .rlim_max = value };
  ::setrlimit(resource, &limit);
}

// In the child: `fds[i]` becomes descriptor i. Only async-signal-safe calls.
[[noreturn]] void Become(const int (&fds)[4], const JailLimits& limits, char* const* argv) {
  ::setpgid(0, 0);
  int high[4];
  for (int i = 0; i < 4; ++i) {
    const int fd = fds[i] >= 0 || i == 3 ? fds[i] : ::open("/dev/null", O_RDWR | O_CLOEXEC);
    high[i] = fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 100);
  }
  for (int i = 0; i < 4; ++i) {
    if (high[i] >= 0) {
      ::dup2(high[i], i);
    } else {
      ::close(i);
    }
  }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // whose shadow counts as terabytes of data
  Limit(RLIMIT_DATA, limits.memory_bytes);
#endif
  Limit(RLIMIT_CPU, limits.cpu_seconds);
  char* const environment[] = {nullptr};
  ::execve(argv[0], argv, environment);
  ::_exit(127);
}

class ProcessJailMaker final : public sandbox::JailMaker {
 public:
  ProcessJailMaker(std::string name, std::vector<std::string> command)
      : name_(std::move(name)), command_(std::move(command)) {}

  absl::StatusOr<std::unique_ptr<Jail>> Create(JailRequest request, absl::Time) override {
    if (request.policy != name_) return absl::NotFoundError(absl::StrCat("no policy ", request.policy));
    std::vector<char*> argv;
    for (std::string& word : command_) argv.push_back(word.data());
    argv.push_back(nullptr);
    const int fds[4] = {request.standard_input.get(), request.standard_output.get(), request.standard_error.get(),
                        request.control.get()};
    const pid_t pid = ::fork();
    if (pid < 0) return absl::UnavailableError(absl::StrCat("fork: ", std::strerror(errno)));
    if (pid == 0) Become(fds, request.limits, argv.data());
    ::setpgid(pid, pid);
    return std::make_unique<ProcessJail>(pid, request.limits);
  }
  sandbox::JailReport report() const override { return {.tier = "none"}; }
  std::vector<sandbox::PolicyInfo> policies() const override { return {{.name = name_, .ready = true}}; }

 private:
  const std::string name_;
  std::vector<std::string> command_;
};

}  // namespace

std::unique_ptr<sandbox::JailMaker> MakeProcessJailMaker(std::string name, std::vector<std::string> command) {
  return std::make_unique<ProcessJailMaker>(std::move(name), std::move(command));
}

}  // namespace carrel::testing
