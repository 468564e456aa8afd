#include "gateway/storage/blob_directory.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "gateway/types/status_macros.h"

namespace carrel::gateway {
namespace {

constexpr mode_t kDirectoryMode = 0700;
constexpr mode_t kFileMode = 0600;

absl::Status Errno(const std::string& what) {
  int error = errno;
  std::string message = absl::StrCat(what, ": ", std::generic_category().message(error));
  if (error == ENOENT) return absl::NotFoundError(message);
  if (error == ENOSPC || error == EDQUOT) return absl::ResourceExhaustedError(message);
  return absl::InternalError(message);
}

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

absl::Status SyncDirectory(const std::string& path) {
  Fd directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.ok() || fsync(directory.get()) != 0) return Errno("cannot sync " + path);
  return absl::OkStatus();
}

class BlobDirectory final : public FileStore {
 public:
  explicit BlobDirectory(std::string root) : root_(std::move(root)) {}

  absl::StatusOr<std::unique_ptr<BlobWriter>> Create(uint64_t bytes_max) override;
  absl::StatusOr<std::unique_ptr<BlobReader>> Open(std::string_view sha256) override;
  absl::Status Remove(std::string_view sha256) override;
  absl::StatusOr<std::vector<std::string>> List() override;

  std::string PathOf(std::string_view sha256) const {
    return absl::StrCat(root_, "/", std::string(sha256.substr(0, 2)), "/", std::string(sha256));
  }
  // Puts the finished file in its place, pinned.
  absl::StatusOr<StoredBlob> Adopt(const std::string& temporary, Blob blob);

 private:
  // Shared with the pins, which may outlive a request but not the process.
  struct Pins {
    absl::Mutex mutex;
    std::unordered_map<std::string, int> counts ABSL_GUARDED_BY(mutex);
  };

  std::string root_;
  std::atomic<uint64_t> next_temporary_{0};
  std::shared_ptr<Pins> pins_ = std::make_shared<Pins>();
};

class DirectoryWriter final : public BlobWriter {
 public:
  DirectoryWriter(BlobDirectory& directory, std::string path, Fd fd, uint64_t bytes_max)
      : directory_(directory),
        path_(std::move(path)),
        fd_(std::move(fd)),
        bytes_max_(bytes_max),
        digest_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    EVP_DigestInit_ex(digest_.get(), EVP_sha256(), nullptr);
  }
  ~DirectoryWriter() override {
    if (!finished_) unlink(path_.c_str());
  }

  absl::Status Append(std::string_view bytes) override {
    if (bytes.size() > bytes_max_ - size_) {
      return absl::ResourceExhaustedError(absl::StrCat("more than ", bytes_max_, " bytes"));
    }
    EVP_DigestUpdate(digest_.get(), bytes.data(), bytes.size());
    size_ += bytes.size();
    while (!bytes.empty()) {
      ssize_t wrote = write(fd_.get(), bytes.data(), bytes.size());
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return Errno("cannot write a file's bytes");
      bytes.remove_prefix(wrote);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<StoredBlob> Finish() override {
    if (fsync(fd_.get()) != 0) return Errno("cannot sync a file's bytes");
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned length = 0;
    EVP_DigestFinal_ex(digest_.get(), digest.data(), &length);
    Blob blob{.sha256 = absl::BytesToHexString({reinterpret_cast<const char*>(digest.data()), length}),
              .size_bytes = size_};
    GATEWAY_ASSIGN_OR_RETURN(StoredBlob stored, directory_.Adopt(path_, std::move(blob)));
    finished_ = true;
    return stored;
  }

 private:
  BlobDirectory& directory_;
  std::string path_;
  Fd fd_;
  uint64_t bytes_max_;
  uint64_t size_ = 0;
  bool finished_ = false;
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> digest_;
};

class DirectoryReader final : public BlobReader {
 public:
  DirectoryReader(Fd fd, uint64_t size) : fd_(std::move(fd)), size_(size) {}
  uint64_t size_bytes() const override { return size_; }
  absl::StatusOr<size_t> Read(std::span<char> buffer) override {
    while (true) {
      ssize_t got = read(fd_.get(), buffer.data(), buffer.size());
      if (got >= 0) return static_cast<size_t>(got);
      if (errno != EINTR) return Errno("cannot read a file's bytes");
    }
  }

 private:
  Fd fd_;
  uint64_t size_;
};

absl::StatusOr<std::unique_ptr<BlobWriter>> BlobDirectory::Create(uint64_t bytes_max) {
  std::string path = absl::StrCat(root_, "/tmp/", next_temporary_++);
  Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, kFileMode));
  if (!fd.ok()) return Errno("cannot create " + path);
  return std::make_unique<DirectoryWriter>(*this, std::move(path), std::move(fd), bytes_max);
}

absl::StatusOr<StoredBlob> BlobDirectory::Adopt(const std::string& temporary, Blob blob) {
  {
    absl::MutexLock lock(&pins_->mutex);
    ++pins_->counts[blob.sha256];
  }
  std::shared_ptr<void> pin(nullptr, [pins = pins_, sha256 = blob.sha256](void*) {
    absl::MutexLock lock(&pins->mutex);
    if (--pins->counts[sha256] == 0) pins->counts.erase(sha256);
  });
  std::string path = PathOf(blob.sha256);
  if (access(path.c_str(), F_OK) == 0) {
    unlink(temporary.c_str());  // the bytes are there already
    return StoredBlob{.blob = std::move(blob), .pin = std::move(pin)};
  }
  std::string parent = path.substr(0, path.rfind('/'));
  if (mkdir(parent.c_str(), kDirectoryMode) == 0) {
    GATEWAY_RETURN_IF_ERROR(SyncDirectory(root_));
  } else if (errno != EEXIST) {
    return Errno("cannot create " + parent);
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) return Errno("cannot move a file's bytes to " + path);
  GATEWAY_RETURN_IF_ERROR(SyncDirectory(parent));
  return StoredBlob{.blob = std::move(blob), .pin = std::move(pin)};
}

absl::StatusOr<std::unique_ptr<BlobReader>> BlobDirectory::Open(std::string_view sha256) {
  std::string path = PathOf(sha256);
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.ok()) return Errno("cannot open " + path);
  struct stat facts;
  if (fstat(fd.get(), &facts) != 0) return Errno("cannot stat " + path);
  return std::make_unique<DirectoryReader>(std::move(fd), static_cast<uint64_t>(facts.st_size));
}

absl::Status BlobDirectory::Remove(std::string_view sha256) {
  absl::MutexLock lock(&pins_->mutex);
  if (pins_->counts.contains(std::string(sha256))) return absl::OkStatus();
  std::string path = PathOf(sha256);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return Errno("cannot remove " + path);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> BlobDirectory::List() {
  std::vector<std::string> all;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator at(root_, error), end; !error && at != end; at.increment(error)) {
    if (at.depth() == 1 && at->path().parent_path().filename() != "tmp") all.push_back(at->path().filename().string());
  }
  if (error) return absl::InternalError(absl::StrCat("cannot list ", root_, ": ", error.message()));
  return all;
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileStore>> OpenBlobDirectory(const std::string& root) {
  std::error_code error;
  std::filesystem::remove_all(root + "/tmp", error);
  if (error) return absl::InternalError(absl::StrCat("cannot empty ", root, "/tmp: ", error.message()));
  std::filesystem::create_directories(root + "/tmp", error);
  if (error) return absl::InternalError(absl::StrCat("cannot create ", root, "/tmp: ", error.message()));
  if (chmod(root.c_str(), kDirectoryMode) != 0) return Errno("cannot set the mode of " + root);
  return std::make_unique<BlobDirectory>(root);
}

}  // namespace carrel::gateway
