#include "sandbox/jailer_client.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "sandbox/base/child_process.h"
#include "sandbox/base/error.h"
#include "sandbox/base/message_socket.h"
#include "sandbox/cgroup.h"
#include "sandbox/jailer_protocol.h"
#include "workspace_client.h"

namespace carrel::sandbox {
namespace {

// How long a destroyed jail may take to be gone before its owner goes on without it.
constexpr absl::Duration kGoneTimeMax = absl::Seconds(5);
constexpr absl::Duration kAnswerTimeMax = absl::Seconds(10);
// An interrupt that takes longer is none: its caller then kills.
constexpr absl::Duration kInterruptTimeMax = absl::Seconds(2);
// For a jailer that does not read to make room for one message more.
constexpr timeval kSendTimeMax = {.tv_sec = 5, .tv_usec = 0};

// What the reader thread learns about one session.
struct SessionState {
  std::optional<JailExit> exit;
  bool gone = false;
  UniqueFd exit_event;
};

// A caller who waits for an answer.
struct Waiting {
  bool done = false;
  JailerMessage answer;
  std::vector<UniqueFd> fds;
};

// What a caller was answered.
struct Answered {
  JailerMessage message;
  std::vector<UniqueFd> fds;
};

// Unset: it was not sent.
UniqueFd WorkspaceOf(Answered* created) { return created->fds.empty() ? UniqueFd() : std::move(created->fds[0]); }

// Empty: there are none.
std::optional<CgroupCounters> CountersOf(Answered* created) {
  std::array<UniqueFd, CgroupCounters::kFilesMax> files;
  if (created->fds.size() != 1 + files.size()) return std::nullopt;
  std::move(created->fds.begin() + 1, created->fds.end(), files.begin());
  return CgroupCounters(std::move(files), created->message.cpu_is_unified != 0);
}

std::string TextOf(const JailerMessage& message) {
  return std::string(message.text, ::strnlen(message.text, sizeof message.text));
}

absl::Status StatusOf(const JailerMessage& failed) {
  return absl::Status(static_cast<absl::StatusCode>(failed.error), TextOf(failed));
}

absl::Status JailerIsGone() { return absl::UnavailableError("the jailer is gone"); }

JailReport ParseReport(const std::string& text) {
  JailReport report;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> fields = absl::StrSplit(line, '\t');
    if (fields.size() == 2 && fields[0] == "tier") report.tier = fields[1];
    if (fields.size() == 2 && fields[0] == "weakened") report.weakened.push_back(fields[1]);
    if (fields.size() == 5 && fields[0] == "layer") {
      report.layers.push_back({.name = fields[1], .active = fields[2] == "1", .detail = fields[3], .mend = fields[4]});
    }
  }
  return report;
}

std::string ReadAll(int fd) {
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t got = ::pread(fd, buffer, sizeof buffer, static_cast<off_t>(text.size()));
    if (got <= 0) return text;
    text.append(buffer, static_cast<size_t>(got));
  }
}

// The socket, its reader, and what both know. Shared by the maker and its jails.
class Line final {
 public:
  explicit Line(UniqueFd socket) : socket_(std::move(socket)) {
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &kSendTimeMax, sizeof kSendTimeMax);
  }

  ~Line() {
    ::shutdown(socket_.get(), SHUT_RDWR);
    if (reader_.joinable()) reader_.join();
  }

  // Reads until every policy was named once, then goes on in a thread.
  absl::Status Start() {
    size_t expected = 1;  // until HELLO says it
    bool hello = false;
    while (!hello || policies_.size() < expected) {
      JailerMessage message;
      auto received = ReceiveMessage(socket_.get(), WritableBytesOf(message));
      if (!received.ok()) return received.status();
      if (received->size != sizeof message) return JailerIsGone();
      if (message.kind == JailerMessageKind::kHello && received->fds.size() == 1) {
        report_ = ParseReport(ReadAll(received->fds[0].get()));
        expected = message.policy;
        hello = true;
      } else {
        Dispatch(message, std::move(received->fds));
      }
    }
    reader_ = std::thread([this] { Read(); });
    return absl::OkStatus();
  }

  uint64_t NewRequest() {
    const std::lock_guard lock(mutex_);
    const uint64_t request = ++last_request_;
    waiting_[request];
    return request;
  }

  absl::Status Send(const JailerMessage& message, std::span<const int> fds = {}) {
    // One message, one call: the kernel keeps senders apart.
    absl::Status sent = SendMessage(socket_.get(), BytesOf(message), fds);
    return absl::IsResourceExhausted(sent) ? absl::DeadlineExceededError("the jailer does not answer") : sent;
  }

  // The answer to `request`, or an error at `deadline`. The request is forgotten either way.
  absl::StatusOr<Answered> Await(uint64_t request, absl::Time deadline) {
    std::unique_lock lock(mutex_);
    Waiting& waiting = waiting_[request];
    const bool answered =
        changed_.wait_until(lock, absl::ToChronoTime(deadline), [&] { return waiting.done || closed_; });
    const bool done = waiting.done;
    Answered answer{waiting.answer, std::move(waiting.fds)};
    waiting_.erase(request);
    if (done) return answer;
    if (answered) return JailerIsGone();
    return absl::DeadlineExceededError("the jailer did not answer in time");
  }

  // The state of a session that CREATED named.
  std::shared_ptr<SessionState> StateOf(uint64_t session) {
    const std::lock_guard lock(mutex_);
    return sessions_[session];
  }

  void Forget(uint64_t session) {
    const std::lock_guard lock(mutex_);
    sessions_.erase(session);
  }

  template <typename Condition>
  bool WaitUntil(absl::Time deadline, Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, absl::ToChronoTime(deadline), [&] { return condition() || closed_; }) &&
           condition();
  }

  template <typename Function>
  auto Locked(Function function) const {
    const std::lock_guard lock(mutex_);
    return function();
  }

  [[nodiscard]] const JailReport& report() const { return report_; }
  [[nodiscard]] std::vector<PolicyInfo> policies() const {
    return Locked([this] {
      std::vector<PolicyInfo> list;
      for (const auto& [index, info] : policies_) list.push_back(info);
      return list;
    });
  }
  [[nodiscard]] std::optional<uint32_t> PolicyIndex(const std::string& name) const {
    return Locked([&]() -> std::optional<uint32_t> {
      for (const auto& [index, info] : policies_) {
        if (info.name == name) return index;
      }
      return std::nullopt;
    });
  }

 private:
  void Read() {
    while (true) {
      JailerMessage message;
      auto received = ReceiveMessage(socket_.get(), WritableBytesOf(message));
      if (!received.ok() || received->size != sizeof message) break;
      const std::lock_guard lock(mutex_);
      Dispatch(message, std::move(received->fds));
      changed_.notify_all();
    }
    const std::lock_guard lock(mutex_);
    closed_ = true;
    for (auto& [id, state] : sessions_) Signal(state.get());
    changed_.notify_all();
  }

  void Dispatch(const JailerMessage& message, std::vector<UniqueFd> fds) {
    switch (message.kind) {
      case JailerMessageKind::kPolicy:
        policies_[message.policy] = {.name = TextOf(message),
                                     .runtime = static_cast<RuntimeUse>(message.runtime),
                                     .defaults = message.limits,
                                     .caps = message.caps,
                                     .ready = message.status != 0,
                                     .generation = message.generation};
        return;
      case JailerMessageKind::kCreated:
        // Before anybody hears of it, so that an EXITED right behind it finds its place.
        if (!waiting_.contains(message.request)) {
          // Its caller has lost patience.
          (void)Send({.kind = JailerMessageKind::kDestroy, .session = message.session});
          return;
        }
        if (auto state = NewState(); state->exit_event) {
          sessions_[message.session] = std::move(state);
          return Answer(message, std::move(fds));
        }
        // Nobody would hear of its end.
        (void)Send({.kind = JailerMessageKind::kDestroy, .session = message.session});
        return Answer(NoDescriptors(message.request), {});
      case JailerMessageKind::kFailed:
      case JailerMessageKind::kStats:
        return Answer(message, {});
      case JailerMessageKind::kExited:
      case JailerMessageKind::kGone:
        if (const auto at = sessions_.find(message.session); at != sessions_.end()) Update(at->second.get(), message);
        return;
      default:
        return;  // from a newer jailer
    }
  }

  void Answer(const JailerMessage& message, std::vector<UniqueFd> fds) {
    const auto at = waiting_.find(message.request);
    if (at == waiting_.end()) return;
    at->second.done = true;
    at->second.answer = message;
    at->second.fds = std::move(fds);
  }

  static JailerMessage NoDescriptors(uint64_t request) {
    JailerMessage failed{.kind = JailerMessageKind::kFailed,
                         .request = request,
                         .error = static_cast<int32_t>(absl::StatusCode::kResourceExhausted)};
    std::snprintf(failed.text, sizeof failed.text, "the server has no descriptor left for the session (RLIMIT_NOFILE)");
    return failed;
  }

  static std::shared_ptr<SessionState> NewState() {
    auto state = std::make_shared<SessionState>();
    state->exit_event.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    return state;
  }

  static void Update(SessionState* state, const JailerMessage& message) {
    if (message.kind == JailerMessageKind::kExited && !state->exit) {
      const ExitStatus end = ExitStatusFromWait(message.status);
      state->exit =
          JailExit{.exit_code = end.exit_code, .signal = end.signal, .memory_limit = message.memory_limit != 0};
    }
    if (message.kind == JailerMessageKind::kGone) {
      state->gone = true;
      // The init died, and the kernel killed the rest before anybody could tell how.
      if (!state->exit) state->exit = JailExit{.exit_code = 0, .signal = 9, .memory_limit = message.memory_limit != 0};
    }
    Signal(state);
  }

  static void Signal(SessionState* state) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(state->exit_event.get(), &one, sizeof one);
  }

  UniqueFd socket_;
  JailReport report_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
  uint64_t last_request_ = 0;
  std::map<uint64_t, Waiting> waiting_;
  std::map<uint64_t, std::shared_ptr<SessionState>> sessions_;
  std::map<uint32_t, PolicyInfo> policies_;
  std::thread reader_;
};

class RealJail final : public Jail {
 public:
  RealJail(std::shared_ptr<Line> line, Answered created, UniqueFd porter)
      : line_(std::move(line)),
        session_(created.message.session),
        limits_(created.message.limits),
        times_(created.message.times),
        counters_(CountersOf(&created)),
        state_(line_->StateOf(session_)),
        workspace_(std::move(porter), WorkspaceOf(&created), limits_.workspace_files) {}

  RealJail(const RealJail&) = delete;
  RealJail& operator=(const RealJail&) = delete;

  ~RealJail() override {
    RealJail::BeginEnd();
    (void)line_->WaitUntil(absl::Now() + kGoneTimeMax, [this] { return state_->gone; });
    line_->Forget(session_);
  }

  void BeginEnd() override {
    if (ending_.exchange(true)) return;
    workspace_.ForgetRoot();
    // Refused: the jailer is gone, and every session with it; the wait ends at once.
    (void)line_->Send({.kind = JailerMessageKind::kDestroy, .session = session_});
  }

  [[nodiscard]] std::optional<JailExit> exit() const override {
    return line_->Locked([this] { return state_->exit; });
  }
  [[nodiscard]] std::optional<JailExit> WaitForExit(absl::Duration timeout) override {
    (void)line_->WaitUntil(absl::Now() + timeout, [this] { return state_->exit.has_value(); });
    return exit();
  }
  [[nodiscard]] int exit_fd() const override { return state_->exit_event.get(); }
  [[nodiscard]] absl::Status Interrupt() override {
    const uint64_t request = line_->NewRequest();
    const absl::Status sent =
        line_->Send({.kind = JailerMessageKind::kInterrupt, .request = request, .session = session_});
    const auto answer = line_->Await(request, sent.ok() ? absl::Now() + kInterruptTimeMax : absl::InfinitePast());
    return sent.ok() ? answer.status() : sent;
  }
  [[nodiscard]] absl::Status InterruptAll() override { return workspace_.InterruptAll(); }
  [[nodiscard]] absl::Status KillAll() override { return workspace_.KillAll(); }
  [[nodiscard]] absl::StatusOr<JailStats> Stats() override {
    if (counters_) return counters_->Read();
    const uint64_t request = line_->NewRequest();
    const absl::Status sent = line_->Send({.kind = JailerMessageKind::kStats, .request = request, .session = session_});
    auto answer = line_->Await(request, sent.ok() ? absl::Now() + kAnswerTimeMax : absl::InfinitePast());
    if (!sent.ok()) return sent;
    if (!answer.ok()) return answer.status();
    if (answer->message.kind == JailerMessageKind::kFailed) return StatusOf(answer->message);
    return answer->message.stats;
  }
  [[nodiscard]] Workspace& workspace() override { return workspace_; }
  [[nodiscard]] const JailLimits& limits() const override { return limits_; }
  [[nodiscard]] SetupTimes setup_times() const override { return times_; }

 private:
  const std::shared_ptr<Line> line_;
  const uint64_t session_;
  const JailLimits limits_;
  const SetupTimes times_;
  const std::optional<CgroupCounters> counters_;  // none: the jailer is asked
  const std::shared_ptr<SessionState> state_;
  std::atomic<bool> ending_ = false;
  WorkspaceClient workspace_;
};

class JailerClient final : public JailMaker {
 public:
  explicit JailerClient(std::shared_ptr<Line> line) : line_(std::move(line)) {}

  [[nodiscard]] absl::StatusOr<std::unique_ptr<Jail>> Create(JailRequest request, absl::Time deadline) override {
    const std::optional<uint32_t> policy = line_->PolicyIndex(request.policy);
    if (!policy) return absl::InvalidArgumentError(absl::StrCat("there is no policy named ", request.policy));
    auto porter = MakeSocketPair();
    if (!porter.ok()) return porter.status();
    std::vector<int> fds{porter->second.get()};
    std::vector<UniqueFd> nulls;
    for (const UniqueFd* given : {&request.standard_input, &request.standard_output, &request.standard_error}) {
      if (!*given) {
        nulls.emplace_back(::open("/dev/null", O_RDWR | O_CLOEXEC));
        if (!nulls.back()) return ErrnoStatus(errno, "/dev/null");
      }
      fds.push_back(*given ? given->get() : nulls.back().get());
    }
    if (request.control) fds.push_back(request.control.get());
    const uint64_t number = line_->NewRequest();
    const absl::Status sent = line_->Send(
        {.kind = JailerMessageKind::kCreate, .policy = *policy, .request = number, .limits = request.limits}, fds);
    auto answer = line_->Await(number, sent.ok() ? deadline : absl::InfinitePast());
    if (!sent.ok()) return sent;
    if (!answer.ok()) {
      (void)line_->Send({.kind = JailerMessageKind::kDestroy, .request = number});
      return answer.status();
    }
    if (answer->message.kind == JailerMessageKind::kFailed) return StatusOf(answer->message);
    return std::make_unique<RealJail>(line_, *std::move(answer), std::move(porter->first));
  }

  [[nodiscard]] absl::Status Check(absl::Time deadline) override {
    // About a session that there never is: any answer will do.
    const uint64_t request = line_->NewRequest();
    const absl::Status sent = line_->Send({.kind = JailerMessageKind::kStats, .request = request});
    const auto answer = line_->Await(request, sent.ok() ? deadline : absl::InfinitePast());
    return sent.ok() ? answer.status() : sent;
  }

  [[nodiscard]] JailReport report() const override { return line_->report(); }
  [[nodiscard]] std::vector<PolicyInfo> policies() const override { return line_->policies(); }

 private:
  const std::shared_ptr<Line> line_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<JailMaker>> ConnectToJailer(UniqueFd socket) {
  auto line = std::make_shared<Line>(std::move(socket));
  if (absl::Status s = line->Start(); !s.ok()) return s;
  return std::make_unique<JailerClient>(std::move(line));
}

absl::StatusOr<std::unique_ptr<JailMaker>> ConnectToJailer() {
  const char* variable = std::getenv(kJailerFdVariable);
  if (variable == nullptr) {
    return absl::FailedPreconditionError("CARREL_JAILER_FD is not set: start this server with carrel-jailer --server");
  }
  UniqueFd socket(std::atoi(variable));
  ::unsetenv(kJailerFdVariable);
  if (::fcntl(socket.get(), F_SETFD, FD_CLOEXEC) != 0) return ErrnoStatus(errno, "CARREL_JAILER_FD");
  return ConnectToJailer(std::move(socket));
}

}  // namespace carrel::sandbox
