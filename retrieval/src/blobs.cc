#include "blobs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "status_macros.h"

namespace carrel::retrieval {
namespace {

constexpr size_t kReadBytes = 256u << 10;

absl::Status Errno(const std::string& what) {
  const int error = errno;
  if (error == ENOSPC || error == EDQUOT) {
    return absl::ResourceExhaustedError(absl::StrCat("the disk is full; free some of it and try again (", what, ")"));
  }
  return absl::ErrnoToStatus(error, what);
}

absl::Status MakeFolder(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Errno(absl::StrCat("mkdir ", path));
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return Errno(absl::StrCat("fsync ", path));
  return absl::OkStatus();
}

}  // namespace

IncomingFile::~IncomingFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

absl::Status IncomingFile::Write(std::string_view bytes) {
  hash_.Update(bytes);
  size_ += bytes.size();
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno(absl::StrCat("write ", path_));
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::StatusOr<Blobs> Blobs::Open(const std::string& directory) {
  const std::string incoming = absl::StrCat(directory, "/incoming");
  std::error_code error;
  std::filesystem::remove_all(incoming, error);
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("remove ", incoming));
  RETURN_IF_ERROR(MakeFolder(incoming));
  RETURN_IF_ERROR(MakeFolder(absl::StrCat(directory, "/blobs")));
  RETURN_IF_ERROR(SyncFolder(directory));
  return Blobs(directory);
}

std::string Blobs::FolderOf(const std::string& sha256) const {
  return absl::StrCat(directory_, "/blobs/", sha256.substr(0, 2));
}

absl::StatusOr<std::unique_ptr<IncomingFile>> Blobs::NewFile() const {
  std::string path = absl::StrCat(directory_, "/incoming/XXXXXX");
  UniqueFd fd(::mkostemp(path.data(), O_CLOEXEC));
  if (!fd) return Errno(absl::StrCat("create ", path));
  return std::make_unique<IncomingFile>(std::move(fd), std::move(path));
}

absl::StatusOr<std::string> Blobs::Seal(IncomingFile& file) const {
  if (::fsync(file.fd_.get()) != 0) return Errno(absl::StrCat("fsync ", file.path_));
  return file.hash_.FinishHex();
}

absl::Status Blobs::Place(IncomingFile& file, const std::string& sha256) const {
  const std::string folder = FolderOf(sha256);
  const std::string path = absl::StrCat(folder, "/", sha256);
  RETURN_IF_ERROR(MakeFolder(folder));
  if (::rename(file.path_.c_str(), path.c_str()) != 0) return Errno(absl::StrCat("rename to ", path));
  file.path_.clear();
  RETURN_IF_ERROR(SyncFolder(folder));
  return SyncFolder(absl::StrCat(directory_, "/blobs"));
}

absl::StatusOr<UniqueFd> Blobs::OpenRead(const std::string& sha256) const {
  const std::string path = absl::StrCat(FolderOf(sha256), "/", sha256);
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return absl::DataLossError("its stored bytes are gone; add it again");
  if (!fd) return Errno(absl::StrCat("open ", path));
  Sha256 hash;
  std::vector<char> buffer(kReadBytes);
  while (true) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno(absl::StrCat("read ", path));
    if (n == 0) break;
    hash.Update({buffer.data(), static_cast<size_t>(n)});
  }
  if (hash.FinishHex() != sha256) return absl::DataLossError("its stored bytes are damaged; add it again");
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return Errno(absl::StrCat("lseek ", path));
  return fd;
}

absl::Status Blobs::Remove(const std::string& sha256) const {
  const std::string path = absl::StrCat(FolderOf(sha256), "/", sha256);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Errno(absl::StrCat("unlink ", path));
  return absl::OkStatus();
}

absl::Status Blobs::Sweep(const absl::flat_hash_set<std::string>& known) const {
  std::error_code error;
  std::vector<std::filesystem::path> unknown;
  const std::string root = absl::StrCat(directory_, "/blobs");
  for (std::filesystem::recursive_directory_iterator it(root, error), end; !error && it != end; it.increment(error)) {
    if (!it->is_directory(error) && !known.contains(it->path().filename().string())) unknown.push_back(it->path());
  }
  for (const std::filesystem::path& path : unknown) {
    if (!error) std::filesystem::remove(path, error);
  }
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("sweep ", root));
  return absl::OkStatus();
}

}  // namespace carrel::retrieval
