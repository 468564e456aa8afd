#include "interpreter/engine/interpreter_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <variant>

#include "absl/time/clock.h"
#include "interpreter/engine/frames.h"
#include "interpreter/engine/text.h"
#include "interpreter/engine/utf8.h"
#include "sandbox/base/error.h"

namespace carrel::interpreter {
namespace {

// A READY has two bytes; what is longer is none.
constexpr uint64_t kReadyBytesMax = 64;

struct Ends {
  UniqueFd ours;
  UniqueFd theirs;
};

// Ours is non-blocking; theirs must block, for it is the code's own descriptor.
absl::StatusOr<Ends> MakePipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
  Ends ends{.ours = UniqueFd(fds[0]), .theirs = UniqueFd(fds[1])};
  if (::fcntl(fds[0], F_SETFL, O_NONBLOCK) != 0) return ErrnoStatus(errno, "fcntl");
  return ends;
}

absl::StatusOr<Ends> MakeControl() {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0) return ErrnoStatus(errno, "socketpair");
  return Ends{.ours = UniqueFd(fds[0]), .theirs = UniqueFd(fds[1])};
}

std::string ReadSome(int fd) {
  std::string text(4096, '\0');
  const ssize_t count = TEMP_FAILURE_RETRY(::read(fd, text.data(), text.size()));
  text.resize(static_cast<size_t>(std::max<ssize_t>(count, 0)));
  return RepairUtf8(text);
}

// One frame. The channel holds it until the driver reads.
absl::Status Say(const std::string& frame, int control) {
  if (::send(control, frame.data(), frame.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(frame.size())) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(StrCat("the interpreter's channel: ", ::strerror(errno)));
}

absl::Status AwaitReady(sandbox::Jail& jail, SessionPipes& pipes, absl::Time deadline) {
  FrameReader reader(kReadyBytesMax);
  std::array<char, 256> buffer{};
  while (true) {
    std::array<pollfd, 2> fds = {{{.fd = pipes.control.get(), .events = POLLIN, .revents = 0},
                                  {.fd = jail.exit_fd(), .events = POLLIN, .revents = 0}}};
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return absl::UnavailableError("the interpreter did not answer in time");
    const timespec timeout = absl::ToTimespec(left);
    if (::ppoll(fds.data(), fds.size(), &timeout, nullptr) < 0 && errno != EINTR) {
      return absl::InternalError(StrCat("ppoll: ", ::strerror(errno)));
    }
    const ssize_t count = ::recv(pipes.control.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count > 0) {
      reader.Append(std::string_view(buffer.data(), static_cast<size_t>(count)));
      const std::optional<absl::StatusOr<Frame>> frame = reader.Next();
      if (!frame) continue;
      const ReadyFrame* ready = frame->ok() ? std::get_if<ReadyFrame>(&**frame) : nullptr;
      if (ready == nullptr || ready->version != kFramesVersion) {
        return absl::UnavailableError("the interpreter speaks another version of the protocol");
      }
      return absl::OkStatus();
    }
    if (count == 0 || fds[1].revents != 0) {
      return absl::UnavailableError(
          StrCat("the interpreter ended at its start: ", ReadSome(pipes.standard_error.get())));
    }
  }
}

}  // namespace

absl::StatusOr<InterpreterProcess> StartInterpreter(const StartOptions& options, sandbox::JailMaker& jails,
                                                    Statistics& statistics) {
  absl::StatusOr<Ends> out = MakePipe();
  if (!out.ok()) return out.status();
  absl::StatusOr<Ends> err = MakePipe();
  if (!err.ok()) return err.status();
  absl::StatusOr<Ends> control = MakeControl();
  if (!control.ok()) return control.status();

  const auto cpus = static_cast<uint32_t>(std::max<uint64_t>(1, (options.limits.cpu_millis + 999) / 1000));
  // Before there is anybody: he finds it when he comes, and nobody waits for his waking up.
  if (absl::Status s = Say(EncodeHello(cpus), control->ours.get()); !s.ok()) return s;
  absl::Time since = absl::Now();
  const auto step_over = [&](Step step) {
    const absl::Time now = absl::Now();
    statistics.Add(step, now - since);
    since = now;
  };
  const absl::Time deadline = since + options.start_max;
  sandbox::JailRequest request{.policy = options.runtime,
                               .limits = options.limits,
                               .standard_input = UniqueFd(),
                               .standard_output = std::move(out->theirs),
                               .standard_error = std::move(err->theirs),
                               .control = std::move(control->theirs)};
  absl::StatusOr<std::unique_ptr<sandbox::Jail>> jail = jails.Create(std::move(request), deadline);
  if (!jail.ok()) return jail.status();
  step_over(Step::kJail);
  statistics.Add((*jail)->setup_times());
  InterpreterProcess process{.jail = *std::move(jail),
                             .pipes = {.standard_output = std::move(out->ours),
                                       .standard_error = std::move(err->ours),
                                       .control = std::move(control->ours)}};
  if (absl::Status s = AwaitReady(*process.jail, process.pipes, deadline); !s.ok()) return s;
  step_over(Step::kGreet);
  if (!options.warm) return process;
  if (absl::Status s = Say(EncodeWarm(), process.pipes.control.get()); !s.ok()) return s;
  if (absl::Status s = AwaitReady(*process.jail, process.pipes, deadline); !s.ok()) return s;
  step_over(Step::kWarm);
  return process;
}

}  // namespace carrel::interpreter
