#include "process_setup.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "sandbox/base/process_info.h"

namespace carrel::sandbox {

int KeepOnlyDescriptors(std::vector<UniqueFd>* fds, int first) {
  const int end = first + static_cast<int>(fds->size());
  std::vector<int> moved;
  for (const UniqueFd& fd : *fds) {
    moved.push_back(::fcntl(fd.get(), F_DUPFD_CLOEXEC, end));
    if (moved.back() < 0) return errno;
  }
  for (UniqueFd& fd : *fds) (void)fd.release();  // close_range takes the old ones
  for (size_t i = 0; i < moved.size(); ++i) {
    if (::dup3(moved[i], first + static_cast<int>(i), O_CLOEXEC) < 0) return errno;
    (*fds)[i].reset(first + static_cast<int>(i));
  }
  if (first > 3 && ::syscall(SYS_close_range, 3U, static_cast<unsigned>(first - 1), 0) != 0) return errno;
  return ::syscall(SYS_close_range, static_cast<unsigned>(end), ~0U, 0) == 0 ? 0 : errno;
}

void HideArguments(const char* name) {
  ::prctl(PR_SET_NAME, name);
  const auto stat = ReadSmallFile("/proc/self/stat");
  if (!stat.ok()) return;
  // The program's name, in parentheses, may hold anything; the numbers begin behind it with field 3.
  const size_t end_of_name = stat->rfind(')');
  if (end_of_name == std::string::npos) return;
  const std::vector<std::string> fields = absl::StrSplit(stat->substr(end_of_name + 2), ' ');
  constexpr size_t kArgStart = 48 - 3;  // and arg_end, env_start, env_end
  std::array<uintptr_t, 4> bounds{};
  for (size_t i = 0; i < bounds.size(); ++i) {
    uint64_t value = 0;
    if (fields.size() <= kArgStart + i || !absl::SimpleAtoi(fields[kArgStart + i], &value) || value == 0) return;
    bounds[i] = static_cast<uintptr_t>(value);
  }
  const auto blank = [](uintptr_t from, uintptr_t to) {
    if (to > from) std::memset(reinterpret_cast<void*>(from), 0, to - from);
  };
  blank(bounds[0], bounds[1]);
  blank(bounds[2], bounds[3]);
  std::strncpy(reinterpret_cast<char*>(bounds[0]), name, bounds[1] - bounds[0] - 1);
}

void ResetSignals() noexcept {
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    ::sigaction(signal, &action, nullptr);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

UniqueFd WatchChildren() {
  sigset_t children;
  ::sigemptyset(&children);
  ::sigaddset(&children, SIGCHLD);
  if (::sigprocmask(SIG_BLOCK, &children, nullptr) != 0) return {};
  return UniqueFd(::signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK));
}

}  // namespace carrel::sandbox
