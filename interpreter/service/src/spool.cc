#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "interpreter/engine/text.h"

namespace carrel::interpreter {
namespace {

absl::Status Errno(std::string_view what) {
  const std::string message = StrCat("spool: ", what, ": ", ::strerror(errno));
  return errno == ENOSPC || errno == EDQUOT ? absl::ResourceExhaustedError(message) : absl::InternalError(message);
}

}  // namespace

absl::StatusOr<Spool> Spool::Open(const std::string& directory) {
  UniqueFd fd(directory.empty() ? ::memfd_create("upload", MFD_CLOEXEC)
                                : ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd) return Errno(directory.empty() ? "memfd_create" : directory);
  return Spool(std::move(fd));
}

absl::Status Spool::Append(std::string_view bytes) {
  size_bytes_ += bytes.size();
  while (!bytes.empty()) {
    const ssize_t count = TEMP_FAILURE_RETRY(::write(fd_.get(), bytes.data(), bytes.size()));
    if (count < 0) return Errno("write");
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> Spool::Rewind() && {
  if (::lseek(fd_.get(), 0, SEEK_SET) != 0) return Errno("lseek");
  return std::move(fd_);
}

}  // namespace carrel::interpreter
