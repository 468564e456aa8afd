#include "last_words.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <system_error>

#include "frame_writer.h"

namespace carrel::retrieval::extract {
namespace {

constexpr std::string_view kOutOfMemory = "Out of memory";

volatile std::sig_atomic_t g_in_frame = 0;
int g_output_fd = -1;
int g_stderr_read_fd = -1;
// Frames made beforehand: a handler may not allocate.
struct ReadyFrame {
  std::array<char, 256> bytes{};
  size_t size = 0;
};
ReadyFrame g_memory_frame;
ReadyFrame g_cpu_frame;

ReadyFrame Ready(wire::ExtractLimit limit, uint64_t detail, std::string_view sentence) {
  Payload payload;
  payload.U8(static_cast<uint8_t>(wire::ExtractVerdict::kLimit));
  payload.U8(static_cast<uint8_t>(limit));
  payload.U64(detail);
  payload.Str16(sentence, 128);
  ReadyFrame frame;
  const auto length = static_cast<uint32_t>(payload.size());
  std::memcpy(frame.bytes.data(), &length, sizeof length);
  frame.bytes[sizeof length] = static_cast<char>(wire::FrameType::kVerdict);
  std::memcpy(frame.bytes.data() + wire::kFrameHeaderBytes, payload.bytes().data(), payload.size());
  frame.size = wire::kFrameHeaderBytes + payload.size();
  return frame;
}

// Async-signal-safe, as everything below that handlers call.
void Say(const ReadyFrame& frame) {
  size_t sent = 0;
  while (sent < frame.size) {
    const ssize_t wrote = ::write(g_output_fd, frame.bytes.data() + sent, frame.size - sent);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return;
    sent += static_cast<size_t>(wrote);
  }
}

bool StderrSaysOutOfMemory() {
  std::array<char, 4096> buffer;
  // What a read cut in two is found by keeping the tail of the one before.
  size_t kept = 0;
  bool found = false;
  while (true) {
    const ssize_t got = ::read(g_stderr_read_fd, buffer.data() + kept, buffer.size() - kept);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return found;
    const std::string_view seen(buffer.data(), kept + static_cast<size_t>(got));
    found = found || seen.find(kOutOfMemory) != std::string_view::npos;
    kept = std::min(seen.size(), kOutOfMemory.size() - 1);
    std::memmove(buffer.data(), seen.data() + seen.size() - kept, kept);
  }
}

extern "C" void OnAbort(int) {
  if (g_in_frame == 0 && StderrSaysOutOfMemory()) {
    Say(g_memory_frame);
    ::_exit(0);
  }
  // Returning lets abort() end the process with SIGABRT, for the parent to see.
}

extern "C" void OnCpuLimit(int) {
  if (g_in_frame != 0) return;
  Say(g_cpu_frame);
  ::_exit(0);
}

// The shadow of a sanitizer counts as terabytes of data: under any limit its run time could not go on.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kDataCanBeLimited = false;
#else
constexpr bool kDataCanBeLimited = true;
#endif

[[noreturn]] void Fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

// A limit that is already lower stays; that is the jail's business.
void LowerLimit(__rlimit_resource resource, rlim_t soft, rlim_t hard, const char* what) {
  struct rlimit now {};
  if (::getrlimit(resource, &now) != 0) Fail(what);
  now.rlim_max = std::min(now.rlim_max, hard);
  now.rlim_cur = std::min(std::min(now.rlim_cur, now.rlim_max), soft);
  if (::setrlimit(resource, &now) != 0) Fail(what);
}

}  // namespace

void InstallLastWords(int output_fd, uint64_t cpu_seconds_max, uint64_t memory_bytes_max) {
  g_output_fd = output_fd;
  g_memory_frame = Ready(wire::ExtractLimit::kMemory, memory_bytes_max, "");
  g_cpu_frame = Ready(wire::ExtractLimit::kCpu, cpu_seconds_max, "");

  int ends[2] = {-1, -1};
  // Non-blocking: what does not fit is lost, never waited for.
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) Fail("pipe2");
  if (::dup2(ends[1], STDERR_FILENO) < 0) Fail("dup2");
  ::close(ends[1]);
  g_stderr_read_fd = ends[0];

  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  action.sa_handler = OnAbort;
  if (::sigaction(SIGABRT, &action, nullptr) != 0) Fail("sigaction");
  action.sa_handler = OnCpuLimit;
  action.sa_flags = SA_RESTART;
  if (::sigaction(SIGXCPU, &action, nullptr) != 0) Fail("sigaction");

  // Soft before hard, so that there is time to say so.
  if (cpu_seconds_max > 0) LowerLimit(RLIMIT_CPU, cpu_seconds_max, cpu_seconds_max + 5, "RLIMIT_CPU");
  if (memory_bytes_max > 0 && kDataCanBeLimited) {
    LowerLimit(RLIMIT_DATA, memory_bytes_max, memory_bytes_max, "RLIMIT_DATA");
  }
}

bool AllocationFailed() { return StderrSaysOutOfMemory(); }

WholeFrame::WholeFrame() { g_in_frame = 1; }
WholeFrame::~WholeFrame() { g_in_frame = 0; }

}  // namespace carrel::retrieval::extract
