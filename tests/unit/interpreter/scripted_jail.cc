#include "tests/unit/interpreter/scripted_jail.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <utility>

namespace carrel::testing {
namespace {

std::string Le(uint64_t number, size_t bytes) {
  std::string text;
  for (size_t i = 0; i < bytes; ++i) text.push_back(static_cast<char>(number >> (8 * i)));
  return text;
}

class EmptyWorkspace final : public sandbox::Workspace {
 public:
  absl::StatusOr<sandbox::WorkspaceListing> List(const sandbox::ListOptions&) override {
    return sandbox::WorkspaceListing{};
  }
  absl::StatusOr<sandbox::OpenedFile> OpenRead(const std::string& path) override { return absl::NotFoundError(path); }
  absl::StatusOr<sandbox::WorkspaceEntry> Write(const std::string& path, UniqueFd,
                                                const sandbox::WriteOptions&) override {
    return sandbox::WorkspaceEntry{.path = path};
  }
  absl::Status MakeDirectory(const std::string&, const sandbox::WriteOptions&) override { return absl::OkStatus(); }
  absl::StatusOr<bool> Remove(const std::string&) override { return false; }
};

class ScriptedJail final : public sandbox::Jail {
 public:
  ScriptedJail(sandbox::JailRequest request, std::shared_ptr<std::atomic<int>> alive, ScriptedJails::Registry* registry)
      : registry_(*registry),
        request_(std::move(request)),
        alive_(std::move(alive)),
        exit_fd_(::eventfd(0, EFD_CLOEXEC)),
        limits_(request_.limits),
        driver_([this] { Drive(); }) {
    ++*alive_;
    const std::lock_guard lock(registry_.mutex);
    registry_.jails.insert(this);
  }
  ~ScriptedJail() override {
    {
      const std::lock_guard lock(registry_.mutex);
      registry_.jails.erase(this);
    }
    End({.signal = SIGKILL});
    driver_.join();
    --*alive_;
  }

  std::optional<sandbox::JailExit> exit() const override {
    const std::lock_guard lock(mutex_);
    return exit_;
  }
  std::optional<sandbox::JailExit> WaitForExit(absl::Duration) override { return exit(); }
  int exit_fd() const override { return exit_fd_.get(); }
  absl::Status Interrupt() override {
    const std::lock_guard lock(mutex_);
    interrupted_ = true;
    changed_.notify_all();
    return absl::OkStatus();
  }
  absl::Status InterruptAll() override { return Interrupt(); }
  absl::Status KillAll() override {
    End({.signal = SIGKILL});
    return absl::OkStatus();
  }
  absl::StatusOr<sandbox::JailStats> Stats() override {
    const std::lock_guard lock(mutex_);
    return stats_;
  }
  sandbox::Workspace& workspace() override { return workspace_; }
  const sandbox::JailLimits& limits() const override { return limits_; }

 private:
  void End(const sandbox::JailExit& exit) {
    const std::lock_guard lock(mutex_);
    if (exit_) return;
    exit_ = exit;
    ::shutdown(request_.control.get(), SHUT_RDWR);
    const uint64_t one = 1;
    (void)!::write(exit_fd_.get(), &one, sizeof(one));
    changed_.notify_all();
  }

  std::string Read(size_t count) {
    std::string bytes(count, '\0');
    size_t have = 0;
    while (have < count) {
      const ssize_t got = ::read(request_.control.get(), bytes.data() + have, count - have);
      if (got <= 0) return "";
      have += static_cast<size_t>(got);
    }
    return bytes;
  }
  void Send(const std::string& body) {
    const std::string frame = Le(body.size(), 4) + body;
    (void)!::send(request_.control.get(), frame.data(), frame.size(), MSG_NOSIGNAL);
  }
  void Done(uint64_t call, int status, int exit_code, int error_number, const std::string& name) {
    Send("\x84" + Le(call, 8) + Le(static_cast<uint64_t>(status), 1) + Le(static_cast<uint64_t>(exit_code), 4) +
         Le(static_cast<uint64_t>(error_number), 4) + Le(name.size(), 2) + name + Le(0, 4) + Le(0, 4));
  }

  void Drive() {
    while (true) {
      const std::string length = Read(4);
      if (length.empty()) return;
      const std::string frame = Read(static_cast<uint8_t>(length[0]) | static_cast<uint8_t>(length[1]) << 8);
      if (frame.empty()) return;
      if (frame[0] == 1 || frame[0] == 4) Send("\x81" + Le(2, 2));
      if (frame[0] == 2) Run(static_cast<uint8_t>(frame[1]), (frame[17] & 2) != 0, frame.substr(22));
    }
  }

  // Waits until interrupted (true) or ended.
  bool Spin() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return interrupted_ || exit_; });
    return !exit_;
  }

  void Run(uint64_t call, bool forget_interrupts, const std::string& script) {
    if (forget_interrupts) {
      const std::lock_guard lock(mutex_);
      interrupted_ = false;
    }
    std::istringstream lines(script);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string word;
      std::string rest;
      words >> word >> std::ws;
      std::getline(words, rest);
      if (word == "say") (void)!::write(request_.standard_output.get(), rest.data(), rest.size());
      if (word == "err") (void)!::write(request_.standard_error.get(), rest.data(), rest.size());
      if (word == "raise") return Done(call, 1, 0, std::stoi(rest), "OSError");
      if (word == "exit") return Done(call, 2, std::stoi(rest), 0, "");
      if (word == "die") return End({.signal = std::stoi(rest)});
      if (word == "leave") return End({.exit_code = std::stoi(rest)});
      if (word == "oom") {
        {
          const std::lock_guard lock(mutex_);
          ++stats_.oom_kills;
        }
        return End({.signal = SIGKILL, .memory_limit = true});
      }
      if (word == "kill-itself") return End({.signal = SIGKILL, .memory_limit = true});
      if (word == "nonsense") return Send("nonsense");
      if (word == "hang-up") return (void)::shutdown(request_.control.get(), SHUT_RDWR);
      const std::unique_lock lock(mutex_);
      stats_.counted = stats_.counted || word == "burn" || word == "refuse-fork" || word == "child-oom";
      if (word == "refuse-fork") ++stats_.process_refusals;
      if (word == "child-oom") ++stats_.oom_kills;
      if (word == "burn") stats_.cpu_ns += std::stoull(rest) * 1'000'000;
    }
    if (script.find("stubborn") != std::string::npos) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return exit_.has_value(); });
      return;
    }
    if (script.find("spin") != std::string::npos) {
      if (Spin()) Done(call, 1, 0, 0, "KeyboardInterrupt");
      return;
    }
    Done(call, 0, 0, 0, "");
  }

  ScriptedJails::Registry& registry_;
  sandbox::JailRequest request_;
  std::shared_ptr<std::atomic<int>> alive_;
  UniqueFd exit_fd_;
  const sandbox::JailLimits limits_;
  EmptyWorkspace workspace_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool interrupted_ = false;
  std::optional<sandbox::JailExit> exit_;
  sandbox::JailStats stats_{.counted = true};
  std::thread driver_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<sandbox::Jail>> ScriptedJails::Create(sandbox::JailRequest request, absl::Time) {
  if (!fail_next.ok()) return std::exchange(fail_next, absl::OkStatus());
  auto jail = std::make_unique<ScriptedJail>(std::move(request), alive, &registry_);
  return jail;
}

void ScriptedJails::KillAll() {
  const std::lock_guard lock(registry_.mutex);
  for (sandbox::Jail* jail : registry_.jails) (void)jail->KillAll();
}

}  // namespace carrel::testing
