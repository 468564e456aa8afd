#include "cli/data_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "sandbox/base/error.h"
#include "strings.h"

namespace carrel::cli {
namespace {

// The jailer's sessions have the 65536 uids from here on.
constexpr uid_t kSessionUidBase = 0x70000000;

absl::Status MakeDir(const std::string& path, mode_t mode, std::optional<uid_t> owner, std::optional<gid_t> group) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return absl::FailedPreconditionError(StrCat("cannot make ", path, ": ", error.message()));
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return ErrnoStatus(errno, StrCat("opening ", path));
  if (owner.has_value() && ::fchown(fd.get(), *owner, group.value_or(*owner)) != 0) {
    return ErrnoStatus(errno, StrCat("chown of ", path));
  }
  if (::fchmod(fd.get(), mode) != 0) return ErrnoStatus(errno, StrCat("chmod of ", path));
  return absl::OkStatus();
}

absl::Status MakeLink(const std::string& target, const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_symlink(path, error)) std::filesystem::remove(path, error);
  if (::symlink(target.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, StrCat("linking ", path));
  return absl::OkStatus();
}

absl::Status CheckReachable(const std::string& data_dir, uid_t uid) {
  for (std::filesystem::path at = std::filesystem::path(data_dir).parent_path(); at != at.root_path();
       at = at.parent_path()) {
    struct stat info {};
    if (::stat(at.c_str(), &info) != 0) return ErrnoStatus(errno, at.string());
    if ((info.st_mode & S_IXOTH) == 0 && info.st_uid != uid) {
      return absl::FailedPreconditionError(
          StrCat("the servers run as uid ", uid, " and cannot pass through ", at.string(),
                 ": choose another --data (as root the default is /var/lib/carrel), or chmod o+x ", at.string()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::optional<uid_t> ServerUid(const Place& place, Part part) {
  if (::geteuid() != 0 || place.config.jail.tier == "userns") return std::nullopt;
  return kSessionUidBase - (part == Part::kInterpreter ? 2 : 3);
}

std::optional<uid_t> GatewayUid(const Place& place) {
  // In tier userns everything is ours, and the data directory is closed to others.
  if (::geteuid() != 0 || place.config.jail.tier == "userns") return std::nullopt;
  return kSessionUidBase - 4;
}

std::string GatewayDirOf(const Place& place) { return StrCat(place.data_dir, "/gateway"); }

absl::Status PrepareDataDir(const Place& place) {
  const bool other_users = ServerUid(place, Part::kInterpreter).has_value();
  // Whom rpc.allowed_uids names must get to the sockets, though not into the data.
  const bool shared = !place.config.rpc.allowed_uids.empty();
  const mode_t passage = other_users || shared ? 0711 : 0700;
  for (const std::string& path : {place.data_dir, StrCat(place.data_dir, "/run")}) {
    if (auto status = MakeDir(path, passage, std::nullopt, std::nullopt); !status.ok()) return status;
  }
  const std::optional<uid_t> gateway = GatewayUid(place);
  if (auto status = MakeDir(GatewayDirOf(place), 0700, gateway, std::nullopt); !status.ok()) return status;
  if (auto status = MakeLink("gateway/admin.sock", StrCat(place.data_dir, "/admin.sock")); !status.ok()) return status;
  for (const Part part : {Part::kInterpreter, Part::kRetrieval}) {
    const std::optional<uid_t> uid = ServerUid(place, part);
    if (uid.has_value()) {
      if (auto status = CheckReachable(place.data_dir, *uid); !status.ok()) return status;
    }
    const std::string run = StrCat(place.data_dir, "/run/", NameOf(part));
    if (auto status = MakeDir(run, shared ? 0711 : gateway.has_value() ? 0710 : 0700, uid, gateway); !status.ok()) {
      return status;
    }
    if (auto status = MakeDir(DataDirOf(place, part), 0700, uid, std::nullopt); !status.ok()) return status;
    if (auto status = MakeLink(StrCat(NameOf(part), "/grpc.sock"), StrCat(run, ".sock")); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<DataDirLock> DataDirLock::Take(const std::string& data_dir) {
  if (auto status = MakeDir(data_dir, 0711, std::nullopt, std::nullopt); !status.ok()) return status;
  const std::string path = StrCat(data_dir, "/serve.lock");
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return ErrnoStatus(errno, StrCat("opening ", path));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, StrCat("locking ", path));
    char holder[32] = {};
    const ssize_t size = ::pread(fd.get(), holder, sizeof(holder) - 1, 0);
    std::string pid(holder, size > 0 ? static_cast<size_t>(size) : 0);
    pid = pid.substr(0, pid.find('\n'));
    return absl::AlreadyExistsError(StrCat("another `carrel serve`", pid.empty() ? "" : StrCat(" (pid ", pid, ")"),
                                           " has ", data_dir, ": stop it, or choose another --data"));
  }
  const std::string pid = StrCat(::getpid(), "\n");
  if (::ftruncate(fd.get(), 0) != 0 || ::pwrite(fd.get(), pid.data(), pid.size(), 0) < 0) {
    return ErrnoStatus(errno, StrCat("writing ", path));
  }
  return DataDirLock(std::move(fd));
}

}  // namespace carrel::cli
