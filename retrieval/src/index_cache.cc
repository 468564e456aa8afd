#include "retrieval/index_cache.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "status_macros.h"

namespace carrel::retrieval {
namespace {

constexpr char kMagic[8] = {'c', 'a', 'r', 'r', 'e', 'l', 'i', '2'};  // the last is the version
constexpr size_t kBufferBytes = 1u << 20;
constexpr uint64_t kMultiplier = 0x9fb21c651e98df25;

uint64_t Word(const char* at) {
  uint64_t word = 0;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

uint64_t Mix(uint64_t state, uint64_t word) { return std::rotl((state ^ word) * kMultiplier, 29); }

absl::Status Errno(std::string_view what, const std::string& path) {
  return absl::ErrnoToStatus(errno, absl::StrCat(std::string(what), " ", path));
}

}  // namespace

// Four lanes of words, each multiplied and turned; what is left over stands as it is until more comes.
void CacheChecksum::Add(std::string_view bytes) {
  length_ += bytes.size();
  const auto step = [this](const char* at) {
    for (size_t lane = 0; lane < 4; ++lane) state_[lane] = Mix(state_[lane], Word(at + lane * 8));
  };
  if (!rest_.empty()) {
    const size_t taken = std::min(bytes.size(), 32 - rest_.size());
    rest_.append(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    if (rest_.size() < 32) return;
    step(rest_.data());
    rest_.clear();
  }
  for (; bytes.size() >= 32; bytes.remove_prefix(32)) step(bytes.data());
  rest_.append(bytes);
}

uint64_t CacheChecksum::Value() const {
  std::string last = rest_;
  last.resize(32, '\0');
  uint64_t value = length_ * kMultiplier;
  for (size_t lane = 0; lane < 4; ++lane) value = Mix(value, Mix(state_[lane], Word(last.data() + lane * 8)));
  return value ^ (value >> 32);
}

absl::StatusOr<CacheWriter> CacheWriter::Create(const std::string& path) {
  const std::string partial = path + ".partial";
  UniqueFd fd(::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) return Errno("open", partial);
  CacheWriter writer(path, std::move(fd));
  RETURN_IF_ERROR(writer.Bytes({kMagic, sizeof(kMagic)}));
  return writer;
}

CacheWriter::~CacheWriter() {
  if (fd_) ::unlink((path_ + ".partial").c_str());  // not committed
}

absl::Status CacheWriter::Bytes(std::string_view bytes) {
  checksum_.Add(bytes);
  buffer_.append(bytes);
  return buffer_.size() < kBufferBytes ? absl::OkStatus() : Flush();
}

absl::Status CacheWriter::Flush() {
  for (std::string_view rest = buffer_; !rest.empty();) {
    const ssize_t written = ::write(fd_.get(), rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Errno("write", path_);
    rest.remove_prefix(static_cast<size_t>(written));
  }
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status CacheWriter::Commit() {
  const uint64_t sum = checksum_.Value();
  buffer_.append(reinterpret_cast<const char*>(&sum), sizeof(sum));
  RETURN_IF_ERROR(Flush());
  if (::fsync(fd_.get()) != 0) return Errno("fsync", path_);
  if (::rename((path_ + ".partial").c_str(), path_.c_str()) != 0) return Errno("rename", path_);
  fd_.reset();
  return absl::OkStatus();
}

absl::StatusOr<CacheReader> CacheReader::Open(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Errno("open", path);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return Errno("stat", path);
  const auto size = static_cast<size_t>(info.st_size);
  if (size < sizeof(kMagic) + sizeof(uint64_t)) return TooShort();
  void* const map = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (map == MAP_FAILED) return Errno("mmap", path);
  CacheReader reader(map, size);
  const std::string_view all(static_cast<const char*>(map), size);
  const std::string_view body = all.substr(0, size - sizeof(uint64_t));
  CacheChecksum checksum;
  checksum.Add(body);
  if (!body.starts_with(std::string_view(kMagic, sizeof(kMagic))) || checksum.Value() != Word(body.end())) {
    return absl::DataLossError(absl::StrCat(path, " is damaged, or of another version"));
  }
  reader.rest_ = body.substr(sizeof(kMagic));
  return reader;
}

CacheReader::CacheReader(CacheReader&& other) noexcept
    : map_(std::exchange(other.map_, nullptr)), size_(other.size_), rest_(other.rest_) {}

CacheReader::~CacheReader() {
  if (map_ != nullptr) ::munmap(map_, size_);
}

}  // namespace carrel::retrieval
