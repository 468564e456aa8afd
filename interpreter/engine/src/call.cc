#include "interpreter/engine/call.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <variant>

#include "interpreter/engine/text.h"
#include "interpreter/engine/utf8.h"

namespace carrel::interpreter {
namespace {

// A chunk of output that is sent on, in bytes of the pipe (in text at most three times that: U+FFFD).
constexpr size_t kChunkBytes = 16 << 10;
// Small writes within this time travel together.
constexpr absl::Duration kGather = absl::Milliseconds(4);
// The events of a call that ends sooner travel together.
constexpr absl::Duration kShortCall = absl::Milliseconds(3);
constexpr absl::Duration kCancelPoll = absl::Milliseconds(25);
constexpr absl::Duration kCpuSampleMin = absl::Milliseconds(10);
// Code may catch one interrupt in a loop; it seldom is inside the same `try` each time.
constexpr absl::Duration kInterruptAgain = absl::Milliseconds(150);
// How long a process that closed its channel may take to end by itself. An end is told by three processes, one after
// the other: on a machine with a load of 15 some took more than 300 ms, and were taken for code that breaks the
// channel.
constexpr absl::Duration kLastWords = absl::Seconds(2);
constexpr absl::Duration kKillMax = absl::Seconds(10);
// What a frame has besides the display's data.
constexpr uint64_t kFrameOverhead = 128 << 10;

// One of the code's two output streams.
class Output final {
 public:
  Output(int fd, std::function<void(std::string)> emit) : fd_(fd), emit_(std::move(emit)) {}

  [[nodiscard]] int fd() const { return open_ ? fd_ : -1; }
  [[nodiscard]] bool waiting() const { return !pending_.empty(); }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  [[nodiscard]] bool cut() const { return cut_; }

  // Reads up to `bytes_max`; `left` is what both streams together may still deliver.
  void Read(size_t bytes_max, uint64_t& left) {
    std::array<char, 64 << 10> buffer;  // not initialised: it is only read where the kernel wrote
    while (open_ && bytes_max > 0) {
      const ssize_t count = TEMP_FAILURE_RETRY(::read(fd_, buffer.data(), std::min(buffer.size(), bytes_max)));
      if (count < 0) return;  // EAGAIN
      if (count == 0) {
        open_ = false;
        return;
      }
      bytes_max -= static_cast<size_t>(count);
      Take(std::string_view(buffer.data(), static_cast<size_t>(count)), left);
    }
  }
  // What is in the pipe now, and not what a flood adds meanwhile.
  void Drain(uint64_t& left) {
    int available = 0;
    if (open_ && ::ioctl(fd_, FIONREAD, &available) == 0 && available > 0) Read(static_cast<size_t>(available), left);
  }
  void Flush() {
    if (!pending_.empty()) emit_(std::exchange(pending_, {}));
  }
  void Finish() {
    if (!cut_) pending_ += repair_.Finish();
    Flush();
  }

 private:
  void Take(std::string_view bytes, uint64_t& left) {
    bytes_ += bytes.size();
    const size_t allowed = std::min<uint64_t>(left, bytes.size());
    left -= allowed;
    if (allowed < bytes.size()) cut_ = true;
    for (std::string_view rest = bytes.substr(0, allowed); !rest.empty();) {
      const std::string_view piece = rest.substr(0, kChunkBytes);
      rest.remove_prefix(piece.size());
      pending_ += repair_.Feed(piece);
      if (pending_.size() >= kChunkBytes) Flush();
    }
  }

  const int fd_;
  const std::function<void(std::string)> emit_;
  bool open_ = true;
  bool cut_ = false;
  uint64_t bytes_ = 0;
  std::string pending_;
  Utf8Repair repair_;
};

std::string SignalName(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? StrCat("SIG", name) : StrCat("signal ", signal);
}

class Call final {
 public:
  Call(const CallOptions& options, sandbox::Jail& jail, SessionPipes& pipes, EventSink& sink,
       const std::atomic<bool>& deleted)
      : options_(options),
        jail_(jail),
        control_(pipes.control.get()),
        sink_(sink),
        deleted_(deleted),
        stdout_(pipes.standard_output.get(), [this](std::string text) { sink_.OnStdout(std::move(text)); }),
        stderr_(pipes.standard_error.get(), [this](std::string text) { sink_.OnStderr(std::move(text)); }),
        reader_(options.limits.display_bytes + kFrameOverhead),
        started_(absl::Now()),
        lasting_at_(started_ + kShortCall),
        wall_deadline_(started_ + absl::Milliseconds(options.limits.wall_ms)),
        output_left_(options.limits.output_bytes),
        display_left_(options.limits.display_bytes) {}

  CallResult Run() {
    if (options_.cpu_ns_before) cpu_sample_at_ = started_ + SoonestUseOf(CpuLeft(absl::ZeroDuration()));
    outbox_ = EncodeRun({.call = options_.call,
                         .display_bytes_max = options_.limits.display_bytes,
                         .save_figures = options_.save_figures,
                         .forget_interrupts = options_.forget_interrupts,
                         .code = options_.code});
    SendOutbox();
    sink_.OnHandedOver();
    while (!over_) {
      Wait();
      if (!over_) Judge(absl::Now());
    }
    stdout_.Finish();
    stderr_.Finish();
    Outcome& outcome = result_.outcome;
    outcome.usage.wall_ms = static_cast<uint64_t>(absl::ToInt64Milliseconds(absl::Now() - started_));
    outcome.usage.stdout_bytes = stdout_.bytes();
    outcome.usage.stderr_bytes = stderr_.bytes();
    if (OutputCut() && cause_ != Cause::kOutput) outcome.limits_touched.push_back(LimitName::kOutput);
    if (display_dropped_) outcome.limits_touched.push_back(LimitName::kDisplay);
    return std::move(result_);
  }

 private:
  // Who ended the call, when it was not the code itself. The first stays.
  enum class Cause : uint8_t { kNone, kWall, kCpu, kSessionCpu, kOutput, kCancelled, kBrokenChannel };

  [[nodiscard]] bool OutputCut() const { return stdout_.cut() || stderr_.cut(); }

  void Wait() {
    std::array<pollfd, 4> fds = {{{.fd = stdout_.fd(), .events = POLLIN, .revents = 0},
                                  {.fd = stderr_.fd(), .events = POLLIN, .revents = 0},
                                  {.fd = control_open_ ? control_ : -1, .events = POLLIN, .revents = 0},
                                  {.fd = jail_.exit_fd(), .events = POLLIN, .revents = 0}}};
    if (!outbox_.empty()) fds[2].events |= POLLOUT;
    const absl::Duration left = std::max(NextDeadline() - absl::Now(), absl::ZeroDuration());
    const timespec timeout = absl::ToTimespec(left);
    if (::ppoll(fds.data(), fds.size(), &timeout, nullptr) < 0) return;  // EINTR
    if (fds[0].revents != 0) {
      stderr_.Flush();
      stdout_.Read(kReadBytes, output_left_);
      gather_until_ = std::min(gather_until_, absl::Now() + kGather);
    }
    if (fds[1].revents != 0) {
      stdout_.Flush();
      stderr_.Read(kReadBytes, output_left_);
      gather_until_ = std::min(gather_until_, absl::Now() + kGather);
    }
    if ((fds[2].revents & POLLOUT) != 0) SendOutbox();
    // The exit is looked at first: what the process said before it is then in the buffers already.
    const bool exited = fds[3].revents != 0;
    if (fds[2].revents != 0 || exited) ReadControl();
    if (exited && !over_) EndByExit();
  }

  [[nodiscard]] absl::Time NextDeadline() const {
    absl::Time next = std::min(absl::Now() + kCancelPoll, lasting_at_);
    if (stdout_.waiting() || stderr_.waiting()) next = std::min(next, gather_until_);
    if (cause_ == Cause::kNone) return std::min({next, wall_deadline_, cpu_sample_at_});
    return std::min({next, interrupt_again_at_, kill_at_});
  }

  // Looks at the clock, the CPU and the caller.
  void Judge(absl::Time now) {
    if (now >= lasting_at_) {
      sink_.OnLasting();
      lasting_at_ = absl::InfiniteFuture();
    }
    if (now >= gather_until_) {
      stdout_.Flush();
      stderr_.Flush();
      gather_until_ = absl::InfiniteFuture();
    }
    if (cause_ == Cause::kNone) {
      if (now >= wall_deadline_) {
        Interrupt(Cause::kWall, now);
      } else if (options_.end_at_output_limit && OutputCut()) {
        Interrupt(Cause::kOutput, now);
      } else if (sink_.Cancelled()) {
        Interrupt(Cause::kCancelled, now);
      } else if (now >= cpu_sample_at_) {
        SampleCpu(now);
      } else if (now >= channel_closed_at_ + kLastWords) {
        cause_ = Cause::kBrokenChannel;
        kill_at_ = now;
      }
      if (cause_ == Cause::kNone) return;
    }
    if (now >= kill_at_) {
      Kill(now);
    } else if (now >= interrupt_again_at_) {
      interrupt_again_at_ = now + kInterruptAgain;
      // Who waits for a child with its own SIGINT ignored (os.system) goes on when the child ends.
      (void)jail_.InterruptAll();  // it may have ended meanwhile
    }
  }

  void Interrupt(Cause cause, absl::Time now) {
    cause_ = cause;
    result_.interrupted = true;
    kill_at_ = now + options_.interrupt_grace;
    interrupt_again_at_ = now + kInterruptAgain;
    if (!jail_.Interrupt().ok()) kill_at_ = now;
  }

  void Kill(absl::Time now) {
    if (killed_) {
      result_.outcome.kind = OutcomeKind::kInternal;
      result_.outcome.message = "the session could not be killed";
      Die(result_.outcome.message);
      return;
    }
    killed_ = true;
    kill_at_ = now + kKillMax;
    interrupt_again_at_ = absl::InfiniteFuture();
    (void)jail_.KillAll();  // whether it worked shows at the exit
  }

  void SampleCpu(absl::Time now) {
    const absl::StatusOr<sandbox::JailStats> stats = jail_.Stats();
    if (!stats.ok()) {
      cpu_sample_at_ = now + absl::Seconds(1);
      return;
    }
    const absl::Duration used = absl::Nanoseconds(static_cast<int64_t>(stats->cpu_ns - *options_.cpu_ns_before));
    const absl::Duration left = CpuLeft(used);
    if (left <= absl::ZeroDuration()) {
      Interrupt(left == SessionCpuLeft(used) ? Cause::kSessionCpu : Cause::kCpu, now);
    } else {
      cpu_sample_at_ = now + std::max(SoonestUseOf(left), kCpuSampleMin);
    }
  }

  [[nodiscard]] absl::Duration SessionCpuLeft(absl::Duration used) const {
    return absl::Milliseconds(options_.limits.session_cpu_ms) - options_.session_cpu_before - used;
  }
  // Of the call's limit or the session's, whichever is nearer.
  [[nodiscard]] absl::Duration CpuLeft(absl::Duration used) const {
    return std::min(absl::Milliseconds(options_.limits.cpu_ms) - used, SessionCpuLeft(used));
  }

  // CPU time cannot be used up any sooner.
  [[nodiscard]] absl::Duration SoonestUseOf(absl::Duration cpu_time) const {
    const uint64_t cpus = std::max<uint64_t>(1, (options_.limits.cpu_millis + 999) / 1000);
    return cpu_time / static_cast<int64_t>(cpus);
  }

  void SendOutbox() {
    while (!outbox_.empty()) {
      const ssize_t count = ::send(control_, outbox_.data(), outbox_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) {
        if (errno != EAGAIN) outbox_.clear();  // nobody is there: the exit, or the closed channel, will tell
        return;
      }
      outbox_.erase(0, static_cast<size_t>(count));
    }
  }

  void ReadControl() {
    std::array<char, 64 << 10> buffer;
    while (control_open_ && !over_) {
      const ssize_t count = TEMP_FAILURE_RETRY(::recv(control_, buffer.data(), buffer.size(), MSG_DONTWAIT));
      if (count < 0 && errno == EAGAIN) return;
      if (count <= 0) {
        control_open_ = false;
        channel_closed_at_ = absl::Now();
        return;
      }
      reader_.Append(std::string_view(buffer.data(), static_cast<size_t>(count)));
      while (!over_) {
        std::optional<absl::StatusOr<Frame>> frame = reader_.Next();
        if (!frame) break;
        if (!frame->ok()) {
          control_open_ = false;
          if (cause_ == Cause::kNone) {
            cause_ = Cause::kBrokenChannel;
            kill_at_ = absl::Now();
          }
          return;
        }
        // Everything that was written before the frame is in the pipes: it comes before it.
        stdout_.Drain(output_left_);
        stderr_.Drain(output_left_);
        stdout_.Flush();
        stderr_.Flush();
        std::visit([this](auto& known) { On(known); }, **frame);
      }
      if (static_cast<size_t>(count) < buffer.size()) return;  // the clock must be looked at between floods
    }
  }

  void On(const ReadyFrame&) {}  // once more: it changes nothing
  void On(DisplayFrame& frame) {
    if (frame.call != options_.call) return;
    result_.outcome.usage.display_bytes += frame.data_bytes;
    if (frame.data_bytes > display_left_) {
      display_dropped_ = true;
    } else {
      display_left_ -= frame.data_bytes;
      sink_.OnDisplay(std::move(frame.display));
    }
    if (outbox_.size() < kFrameOverhead) outbox_ += EncodeAck(options_.call);
    SendOutbox();
  }
  void On(const DroppedFrame& frame) {
    result_.outcome.usage.display_bytes += frame.bytes;
    display_dropped_ = true;
  }
  void On(DoneFrame& frame) {
    if (frame.call != options_.call) return;
    over_ = true;
    result_.done = true;
    result_.error_number = frame.error_number;
    Outcome& outcome = result_.outcome;
    outcome.exception = std::move(frame.exception);
    outcome.state_kept = true;
    if (NameCause(outcome)) {
      if (cause_ == Cause::kSessionCpu) {
        (void)jail_.KillAll();  // what it left running would go on using
        outcome.message += ", so the session was ended";
        return Die(outcome.message);
      }
      outcome.message += "; the code was interrupted, the session's state is kept";
      return;
    }
    switch (frame.status) {
      case DoneFrame::Status::kCompleted:
        outcome.kind = OutcomeKind::kCompleted;
        break;
      case DoneFrame::Status::kRaised:
        outcome.kind = OutcomeKind::kRaised;
        outcome.message = outcome.exception.value.empty()
                              ? outcome.exception.name
                              : StrCat(outcome.exception.name, ": ", FirstLine(outcome.exception.value));
        break;
      case DoneFrame::Status::kExited:
        outcome.kind = OutcomeKind::kExited;
        outcome.exit_code = frame.exit_code;
        outcome.message = StrCat("the code exited with ", frame.exit_code, "; the session's state is kept");
        break;
    }
  }

  static std::string FirstLine(const std::string& text) {
    return RepairUtf8(std::string_view(text).substr(0, std::min<size_t>(text.find('\n'), 400)));
  }

  // The process is gone, for whichever reason.
  void EndByExit() {
    stdout_.Drain(output_left_);
    stderr_.Drain(output_left_);
    const std::optional<sandbox::JailExit> exit = jail_.exit();
    Outcome& outcome = result_.outcome;
    if (!exit) {
      outcome.kind = OutcomeKind::kInternal;
      outcome.message = "the jail reported an end without saying which";
      return Die(outcome.message);
    }
    outcome.signal = exit->signal;
    outcome.exit_code = exit->exit_code;
    if (cause_ == Cause::kBrokenChannel) {
      outcome.kind = OutcomeKind::kSignalled;
      outcome.message = "the code broke the interpreter's own channel (descriptor 3), so the session was ended";
    } else if (NameCause(outcome)) {
      if (killed_) outcome.message += "; the code did not stop when interrupted, so the session was ended";
    } else if (deleted_.load()) {
      outcome.kind = OutcomeKind::kCancelled;
      outcome.message = "the session was deleted while the code ran";
    } else {
      NameExit(*exit, outcome);
    }
    Die(outcome.message);
  }

  // True when it was us who ended the call.
  bool NameCause(Outcome& outcome) const {
    switch (cause_) {
      case Cause::kNone:
      case Cause::kBrokenChannel:
        return false;
      case Cause::kWall:
        outcome.kind = OutcomeKind::kTimeLimit;
        outcome.limit = LimitName::kWall;
        outcome.limit_value = options_.limits.wall_ms;
        outcome.message = StrCat("over the time limit of ", options_.limits.wall_ms, " ms");
        return true;
      case Cause::kCpu:
        outcome.kind = OutcomeKind::kCpuLimit;
        outcome.limit = LimitName::kCpu;
        outcome.limit_value = options_.limits.cpu_ms;
        outcome.message = StrCat("over the CPU time limit of ", options_.limits.cpu_ms, " ms");
        return true;
      case Cause::kSessionCpu:
        outcome.kind = OutcomeKind::kCpuLimit;
        outcome.limit = LimitName::kSessionCpu;
        outcome.limit_value = options_.limits.session_cpu_ms;
        outcome.message = StrCat("over the session's CPU time limit of ", options_.limits.session_cpu_ms, " ms");
        return true;
      case Cause::kOutput:
        outcome.kind = OutcomeKind::kOutputLimit;
        outcome.limit = LimitName::kOutput;
        outcome.limit_value = options_.limits.output_bytes;
        outcome.message = StrCat("over the output limit of ", options_.limits.output_bytes, " bytes");
        return true;
      case Cause::kCancelled:
        outcome.kind = OutcomeKind::kCancelled;
        outcome.message = "the call was cancelled";
        return true;
    }
    return false;
  }

  void NameExit(const sandbox::JailExit& exit, Outcome& outcome) const {
    // The jail knows that its first process was killed and that memory once was short; only a kill for memory during
    // this call can have been this one.
    const bool by_memory = exit.memory_limit && OomKilledSince();
    if (by_memory) {
      outcome.kind = OutcomeKind::kMemoryLimit;
      outcome.limit = LimitName::kMemory;
      outcome.limit_value = options_.limits.memory_bytes;
      outcome.message = StrCat("over the memory limit of ", options_.limits.memory_bytes, " bytes");
    } else if (exit.signal == SIGSYS) {
      outcome.kind = OutcomeKind::kDeniedSyscall;
      outcome.message = "a system call that the jail answers with death";
    } else if (exit.signal == SIGXCPU) {
      outcome.kind = OutcomeKind::kCpuLimit;
      outcome.limit = LimitName::kCpu;
      outcome.limit_value = options_.limits.cpu_ms;
      outcome.message = "over the CPU time limit of one process";
    } else if (exit.signal == SIGXFSZ) {
      outcome.kind = OutcomeKind::kFileLimit;
      outcome.limit = LimitName::kWorkspace;
      outcome.limit_value = options_.limits.workspace_bytes;
      outcome.message = "over the size that a file may have";
    } else if (exit.signal != 0) {
      outcome.kind = OutcomeKind::kSignalled;
      outcome.message = StrCat("the interpreter died of ", SignalName(exit.signal));
    } else {
      outcome.kind = OutcomeKind::kExited;
      outcome.message = StrCat("the code ended the interpreter process with code ", exit.exit_code);
    }
  }

  [[nodiscard]] bool OomKilledSince() const {
    if (!options_.oom_kills_before) return true;
    const absl::StatusOr<sandbox::JailStats> stats = jail_.Stats();
    return !stats.ok() || stats->oom_kills > *options_.oom_kills_before;
  }

  void Die(const std::string& reason) {
    over_ = true;
    result_.outcome.state_kept = false;
    result_.death_reason = reason;
  }

  static constexpr size_t kReadBytes = 256 << 10;

  const CallOptions& options_;
  sandbox::Jail& jail_;
  const int control_;
  EventSink& sink_;
  const std::atomic<bool>& deleted_;
  Output stdout_;
  Output stderr_;
  FrameReader reader_;
  CallResult result_;
  std::string outbox_;  // to the driver
  bool over_ = false;
  bool killed_ = false;
  bool control_open_ = true;
  bool display_dropped_ = false;
  Cause cause_ = Cause::kNone;
  const absl::Time started_;
  absl::Time lasting_at_;
  const absl::Time wall_deadline_;
  absl::Time cpu_sample_at_ = absl::InfiniteFuture();
  absl::Time gather_until_ = absl::InfiniteFuture();
  absl::Time interrupt_again_at_ = absl::InfiniteFuture();
  absl::Time kill_at_ = absl::InfiniteFuture();
  absl::Time channel_closed_at_ = absl::InfiniteFuture();
  uint64_t output_left_;
  uint64_t display_left_;
};

}  // namespace

CallResult RunCall(const CallOptions& options, sandbox::Jail& jail, SessionPipes& pipes, EventSink& sink,
                   const std::atomic<bool>& deleted) {
  return Call(options, jail, pipes, sink, deleted).Run();
}

}  // namespace carrel::interpreter
