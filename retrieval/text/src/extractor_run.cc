#include "extractor_run.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace carrel::retrieval {
namespace {

// How soon a stop request is seen while nothing comes.
constexpr int kTickMs = 50;
constexpr absl::Duration kEndMax = absl::Seconds(5);

absl::Status Errno(const char* what) {
  return absl::InternalError(absl::StrCat("extraction: ", what, ": ", std::strerror(errno)));
}

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

absl::StatusOr<Pipe> MakePipe() {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return Errno("pipe2");
  return Pipe{.read = UniqueFd(ends[0]), .write = UniqueFd(ends[1])};
}

// A file in memory rather than a pipe: it takes a request of any length at once.
absl::StatusOr<UniqueFd> RequestFile(std::string_view request) {
  UniqueFd file(::memfd_create("request", MFD_CLOEXEC));
  if (!file) return Errno("memfd_create");
  while (!request.empty()) {
    const ssize_t wrote = ::write(file.get(), request.data(), request.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return Errno("write");
    request.remove_prefix(static_cast<size_t>(wrote));
  }
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return Errno("lseek");
  return file;
}

uint64_t WithinCap(const sandbox::JailMaker& jails, const std::string& policy, uint64_t asked,
                   uint64_t sandbox::JailLimits::*cap) {
  for (const sandbox::PolicyInfo& info : jails.policies()) {
    if (info.name == policy && info.caps.*cap != 0) asked = std::min(asked, info.caps.*cap);
  }
  return asked;
}

// Until the pipe's end, enough, the deadline or nonsense; only CANCELLED and our own faults are errors.
absl::Status ReadOutput(int output, absl::Time deadline, const std::function<bool()>& cancelled,
                        const ExtractorSink& sink, ExtractorEnd& end) {
  std::string buffer(256u << 10, '\0');
  while (true) {
    if (cancelled && cancelled()) return absl::CancelledError("the extraction was cancelled");
    if (absl::Now() >= deadline) {
      end.time_limit = true;
      return absl::OkStatus();
    }
    struct pollfd ready {
      .fd = output, .events = POLLIN, .revents = 0
    };
    const int count = ::poll(&ready, 1, kTickMs);
    if (count < 0 && errno != EINTR) return Errno("poll");
    if (count <= 0) continue;
    const ssize_t got = ::read(output, buffer.data(), buffer.size());
    if (got < 0 && errno != EINTR) return Errno("read");
    if (got == 0) return absl::OkStatus();
    if (got < 0) continue;
    bool done = false;
    end.wire = sink(std::string_view(buffer).substr(0, static_cast<size_t>(got)), done);
    if (!end.wire.ok() || done) return absl::OkStatus();
  }
}

}  // namespace

uint64_t MemoryWithinCap(const sandbox::JailMaker& jails, const std::string& policy, uint64_t bytes) {
  return WithinCap(jails, policy, bytes, &sandbox::JailLimits::memory_bytes);
}

absl::StatusOr<ExtractorEnd> RunExtractor(sandbox::JailMaker& jails, ExtractorOrder order, const ExtractorSink& sink) {
  const absl::Time deadline = absl::Now() + order.wall_max;
  absl::StatusOr<Pipe> output = MakePipe();
  if (!output.ok()) return output.status();
  absl::StatusOr<UniqueFd> request = RequestFile(order.request);
  if (!request.ok()) return request.status();

  sandbox::JailRequest jail;
  jail.policy = order.policy;
  jail.limits.memory_bytes = MemoryWithinCap(jails, order.policy, order.memory_bytes);
  jail.limits.cpu_seconds = WithinCap(jails, order.policy, order.cpu_seconds, &sandbox::JailLimits::cpu_seconds);
  jail.standard_input = std::move(order.bytes);
  jail.standard_output = std::move(output->write);
  jail.control = *std::move(request);
  absl::StatusOr<std::unique_ptr<sandbox::Jail>> made = jails.Create(std::move(jail), deadline);
  if (!made.ok()) return made.status();

  ExtractorEnd end;
  if (absl::Status status = ReadOutput(output->read.get(), deadline, order.cancelled, sink, end); !status.ok()) {
    static_cast<void>((*made)->KillAll());
    return status;
  }
  // Whatever it is still at: the verdict is in, or the pipe is closed, or it was stopped.
  if (end.time_limit || !end.wire.ok()) static_cast<void>((*made)->KillAll());
  end.exit = (*made)->WaitForExit(kEndMax);
  return end;
}

}  // namespace carrel::retrieval
