#include "cli/out_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <vector>

#include "sandbox/base/error.h"
#include "strings.h"

namespace carrel::cli {
namespace {

constexpr size_t kNameBytesMax = 1024;
constexpr size_t kPartBytesMax = 255;
constexpr size_t kPartsMax = 32;

absl::Status Hostile(std::string_view name, std::string_view why) {
  return absl::PermissionDeniedError(StrCat("the file name ", std::string(name.substr(0, 200)), " ", why));
}

absl::StatusOr<std::vector<std::string>> SplitName(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax) return Hostile(name, "is empty or too long");
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return Hostile(name, "leads out of the directory");
    if (part.size() > kPartBytesMax) return Hostile(name, "has a part that is too long");
    for (const char c : part) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return Hostile(name, "holds a control character");
    }
    parts.emplace_back(part);
    begin = end + 1;
  }
  if (parts.size() > kPartsMax) return Hostile(name, "is nested too deep");
  return parts;
}

// The directory `name` in `parent`, made when it is not there, never through a link.
absl::StatusOr<UniqueFd> EnterDir(int parent, const std::string& name, std::string_view whole) {
  if (::mkdirat(parent, name.c_str(), 0777) != 0 && errno != EEXIST) return ErrnoStatus(errno, StrCat("mkdir ", name));
  UniqueFd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd) return fd;
  if (errno == ELOOP || errno == ENOTDIR) return Hostile(whole, "goes through a link or a file");
  return ErrnoStatus(errno, StrCat("opening ", name));
}

}  // namespace

OutFile::~OutFile() {
  if (!temporary_.empty() && directory_) ::unlinkat(directory_.get(), temporary_.c_str(), 0);
}

absl::Status OutFile::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, StrCat("writing ", name_));
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status OutFile::Commit() {
  struct stat info {};
  if (::fstatat(directory_.get(), name_.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode)) {
    return absl::AlreadyExistsError(StrCat(name_, " is a directory"));
  }
  if (::renameat(directory_.get(), temporary_.c_str(), directory_.get(), name_.c_str()) != 0) {
    return ErrnoStatus(errno, StrCat("renaming to ", name_));
  }
  temporary_.clear();
  return absl::OkStatus();
}

absl::StatusOr<OutDir> OutDir::Open(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return absl::InvalidArgumentError(StrCat("--out ", path, ": ", error.message()));
  // The user named it, so a link is as good as a directory here.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return absl::InvalidArgumentError(StrCat("--out ", path, ": ", std::strerror(errno)));
  return OutDir(path, std::move(fd));
}

absl::StatusOr<OutFile> OutDir::Create(std::string_view name) const {
  static std::atomic<uint64_t> counter{0};
  auto parts = SplitName(name);
  if (!parts.ok()) return parts.status();
  UniqueFd directory(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
  if (!directory) return ErrnoStatus(errno, "dup");
  for (size_t i = 0; i + 1 < parts->size(); ++i) {
    auto next = EnterDir(directory.get(), (*parts)[i], name);
    if (!next.ok()) return next.status();
    directory = *std::move(next);
  }
  std::string temporary = StrCat(".carrel-", ::getpid(), "-", ++counter);
  UniqueFd file(
      ::openat(directory.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (!file) return ErrnoStatus(errno, StrCat("creating a file in ", path_));
  return OutFile(std::move(directory), std::move(file), std::move(temporary), parts->back());
}

bool OutDir::Exists(const std::string& name) const {
  struct stat info {};
  return ::fstatat(fd_.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
}

}  // namespace carrel::cli
