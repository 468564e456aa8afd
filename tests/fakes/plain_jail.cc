#include "tests/fakes/plain_jail.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <mutex>
#include <utility>

#include "sandbox/base/child_process.h"
#include "sandbox/base/error.h"
#include "sandbox/base/temp_dir.h"

namespace carrel::testing {
namespace {

namespace fs = std::filesystem;

sandbox::WorkspaceEntry Entry(const std::string& path, const struct ::stat& facts) {
  using Kind = sandbox::WorkspaceEntry::Kind;
  sandbox::WorkspaceEntry entry{.path = path,
                                .size_bytes = static_cast<uint64_t>(facts.st_size),
                                .blocks_bytes = static_cast<uint64_t>(facts.st_blocks) * 512,
                                .inode = facts.st_ino,
                                .modified_ns = facts.st_mtim.tv_sec * 1'000'000'000 + facts.st_mtim.tv_nsec,
                                .changed_ns = facts.st_ctim.tv_sec * 1'000'000'000 + facts.st_ctim.tv_nsec,
                                .mode = facts.st_mode & 0777};
  entry.kind = S_ISDIR(facts.st_mode)    ? Kind::kDirectory
               : S_ISLNK(facts.st_mode)  ? Kind::kSymlink
               : S_ISFIFO(facts.st_mode) ? Kind::kFifo
               : S_ISSOCK(facts.st_mode) ? Kind::kSocket
               : S_ISREG(facts.st_mode)  ? Kind::kRegular
                                         : Kind::kDevice;
  return entry;
}

class PlainWorkspace final : public sandbox::Workspace {
 public:
  explicit PlainWorkspace(fs::path root) : root_(std::move(root)) {}

  absl::StatusOr<sandbox::WorkspaceListing> List(const sandbox::ListOptions& options) override {
    sandbox::WorkspaceListing listing;
    for (const fs::directory_entry& found : fs::recursive_directory_iterator(root_)) {
      if (listing.entries.size() == options.entries_max) {
        listing.incomplete = true;
        break;
      }
      struct ::stat facts {};
      if (::lstat(found.path().c_str(), &facts) != 0) continue;
      listing.entries.push_back(Entry(found.path().lexically_relative(root_).string(), facts));
    }
    return listing;
  }

  absl::StatusOr<sandbox::OpenedFile> OpenRead(const std::string& path) override {
    UniqueFd fd(::open((root_ / path).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!fd) return ErrnoStatus(errno, path);
    struct ::stat facts {};
    if (::fstat(fd.get(), &facts) != 0) return ErrnoStatus(errno, path);
    if (!S_ISREG(facts.st_mode)) return absl::FailedPreconditionError("not a regular file");
    return sandbox::OpenedFile{.fd = std::move(fd), .size_bytes = static_cast<uint64_t>(facts.st_size)};
  }

  absl::StatusOr<sandbox::WorkspaceEntry> Write(const std::string& path, UniqueFd source,
                                                const sandbox::WriteOptions& options) override {
    const fs::path target = root_ / path;
    if (!options.replace && fs::exists(target)) return absl::AlreadyExistsError(path);
    fs::create_directories(target.parent_path());
    UniqueFd fd(::open(target.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd) return ErrnoStatus(errno, path);
    std::array<char, 4096> buffer{};
    for (ssize_t count = 0; (count = ::read(source.get(), buffer.data(), buffer.size())) > 0;) {
      if (::write(fd.get(), buffer.data(), static_cast<size_t>(count)) != count) return ErrnoStatus(errno, path);
    }
    struct ::stat facts {};
    if (::fstat(fd.get(), &facts) != 0) return ErrnoStatus(errno, path);
    return Entry(path, facts);
  }

  absl::Status MakeDirectory(const std::string& path, const sandbox::WriteOptions&) override {
    fs::create_directories(root_ / path);
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Remove(const std::string& path) override { return fs::remove_all(root_ / path) > 0; }

 private:
  const fs::path root_;
};

class PlainJail final : public sandbox::Jail {
 public:
  PlainJail(TempDir directory, ChildProcess child, const sandbox::JailLimits& limits)
      : directory_(std::move(directory)), child_(std::move(child)), limits_(limits), workspace_(directory_.path()) {}

  std::optional<sandbox::JailExit> exit() const override { return Wait(absl::ZeroDuration()); }
  std::optional<sandbox::JailExit> WaitForExit(absl::Duration timeout) override { return Wait(timeout); }
  int exit_fd() const override { return child_.pidfd(); }
  absl::Status Interrupt() override {
    const std::lock_guard lock(mutex_);
    return child_.Signal(SIGINT);
  }
  absl::Status InterruptAll() override { return Interrupt(); }
  absl::Status KillAll() override {
    const std::lock_guard lock(mutex_);
    return child_.Signal(SIGKILL);
  }
  absl::StatusOr<sandbox::JailStats> Stats() override { return sandbox::JailStats{}; }
  sandbox::Workspace& workspace() override { return workspace_; }
  const sandbox::JailLimits& limits() const override { return limits_; }

 private:
  std::optional<sandbox::JailExit> Wait(absl::Duration timeout) const {
    const std::lock_guard lock(mutex_);
    const std::optional<ExitStatus> end = child_.Wait(timeout);
    if (!end) return std::nullopt;
    return sandbox::JailExit{.exit_code = end->exit_code, .signal = end->signal};
  }

  TempDir directory_;
  mutable std::mutex mutex_;
  mutable ChildProcess child_;
  const sandbox::JailLimits limits_;
  PlainWorkspace workspace_;
};

class PlainJails final : public sandbox::JailMaker {
 public:
  explicit PlainJails(PlainJailOptions options) : options_(std::move(options)) {}

  absl::StatusOr<std::unique_ptr<sandbox::Jail>> Create(sandbox::JailRequest request, absl::Time) override {
    absl::StatusOr<TempDir> directory = TempDir::Create();
    if (!directory.ok()) return directory.status();
    SpawnOptions spawn;
    spawn.argv = options_.argv;
    spawn.env = options_.env;
    spawn.fds = {{request.standard_output.get(), 1}, {request.standard_error.get(), 2}, {request.control.get(), 3}};
    spawn.directory = directory->path();
    absl::StatusOr<ChildProcess> child = ChildProcess::Spawn(spawn);
    if (!child.ok()) return child.status();
    return std::make_unique<PlainJail>(*std::move(directory), *std::move(child), request.limits);
  }
  sandbox::JailReport report() const override { return {.tier = "none", .weakened = {"everything: no jail"}}; }
  std::vector<sandbox::PolicyInfo> policies() const override {
    return {{.name = "python", .runtime = sandbox::RuntimeUse::kPooled, .ready = true}};
  }

 private:
  const PlainJailOptions options_;
};

}  // namespace

std::unique_ptr<sandbox::JailMaker> MakePlainJails(PlainJailOptions options) {
  return std::make_unique<PlainJails>(std::move(options));
}

PlainJailOptions PythonDriver() {
  const std::string runtime = std::string(CARREL_SHARE) + "/runtimes/python";
  return {.argv = {"/usr/bin/python3", "-B", runtime + "/driver/driver.py"},
          .env = {"PATH=" + runtime + "/driver/tools:/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8",
                  "PYTHONPATH=" + runtime + "/site-packages:" + runtime + "/driver/tools", "OPENBLAS_NUM_THREADS=1",
                  "OMP_NUM_THREADS=1", "JE_ARROW_MALLOC_CONF=background_thread:false"}};
}

}  // namespace carrel::testing
