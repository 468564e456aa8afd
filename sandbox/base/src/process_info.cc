#include "sandbox/base/process_info.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "sandbox/base/error.h"
#include "sandbox/base/unique_fd.h"

namespace carrel {

absl::StatusOr<pid_t> PidOfPidfd(int pidfd) {
  auto text = ReadSmallFile(absl::StrCat("/proc/self/fdinfo/", pidfd));
  if (!text.ok()) return text.status();
  const size_t at = text->find("\nPid:");
  if (at == std::string::npos) return absl::InvalidArgumentError("not a pidfd");
  const long pid = std::strtol(text->c_str() + at + 5, nullptr, 10);
  if (pid <= 0) return absl::NotFoundError("the process has ended, or is not in a pid namespace below ours");
  return static_cast<pid_t>(pid);
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path, size_t bytes_max) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return ErrnoStatus(errno, path);
  std::string text;
  std::array<char, 4096> buffer;
  while (true) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, path);
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<size_t>(got));
    if (text.size() > bytes_max) return absl::ResourceExhaustedError(absl::StrCat(path, ": too long"));
  }
}

absl::Status WriteExistingFile(const std::string& path, const std::string& text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return ErrnoStatus(errno, path);
  const ssize_t written = ::write(fd.get(), text.data(), text.size());
  if (written < 0) return ErrnoStatus(errno, path);
  if (static_cast<size_t>(written) != text.size()) return absl::DataLossError(absl::StrCat(path, ": short write"));
  return absl::OkStatus();
}

}  // namespace carrel
