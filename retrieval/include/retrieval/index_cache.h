// Files that can be made again: what an index was worked out to be, so that a start need not do it anew.
//
// A file is a magic number, what was written, and a checksum over all of it; it appears whole, under its name, or not
// at all. Never trusted: a reader sees nothing before the checksum holds, every length is checked against what is left,
// and who reads checks what it means. Anything wrong is DATA_LOSS, upon which the file is to be removed and made anew.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/base/unique_fd.h"

namespace carrel::retrieval {

// 64 bits over bytes, in words: 3 GB a second and more. Finds damage; is no proof against forgery.
class CacheChecksum final {
 public:
  void Add(std::string_view bytes);
  [[nodiscard]] uint64_t Value() const;

 private:
  uint64_t state_[4] = {0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb, 0x2545f4914f6cdd1d};
  uint64_t length_ = 0;
  std::string rest_;  // less than a step
};

class CacheWriter final {
 public:
  // Writes beside `path` until Commit.
  [[nodiscard]] static absl::StatusOr<CacheWriter> Create(const std::string& path);
  CacheWriter(CacheWriter&&) = default;
  CacheWriter& operator=(CacheWriter&&) = delete;
  ~CacheWriter();

  template <typename T>
  [[nodiscard]] absl::Status Value(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    return Bytes({reinterpret_cast<const char*>(&value), sizeof(T)});
  }
  template <typename T>
  [[nodiscard]] absl::Status Array(const std::vector<T>& values) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (absl::Status status = Value(static_cast<uint64_t>(values.size())); !status.ok()) return status;
    return Bytes({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
  }
  // On disk, then under its name. RESOURCE_EXHAUSTED: the disk is full.
  [[nodiscard]] absl::Status Commit();

 private:
  CacheWriter(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  absl::Status Bytes(std::string_view bytes);
  absl::Status Flush();

  std::string path_;
  UniqueFd fd_;
  std::string buffer_;
  CacheChecksum checksum_;
};

class CacheReader final {
 public:
  // NOT_FOUND: there is none. DATA_LOSS: it is not such a file, or damaged.
  [[nodiscard]] static absl::StatusOr<CacheReader> Open(const std::string& path);
  CacheReader(CacheReader&& other) noexcept;
  CacheReader& operator=(CacheReader&&) = delete;
  ~CacheReader();

  template <typename T>
  [[nodiscard]] absl::Status Value(T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (rest_.size() < sizeof(T)) return TooShort();
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_.remove_prefix(sizeof(T));
    return absl::OkStatus();
  }
  template <typename T>
  [[nodiscard]] absl::Status Array(std::vector<T>& values) {
    static_assert(std::is_trivially_copyable_v<T>);
    uint64_t count = 0;
    if (absl::Status status = Value(count); !status.ok()) return status;
    if (count > rest_.size() / sizeof(T)) return TooShort();
    values.resize(count);
    if (count > 0) std::memcpy(values.data(), rest_.data(), count * sizeof(T));
    rest_.remove_prefix(count * sizeof(T));
    return absl::OkStatus();
  }

 private:
  CacheReader(void* map, size_t size) : map_(map), size_(size) {}
  static absl::Status TooShort() { return absl::DataLossError("an index file ends too early"); }

  void* map_;
  size_t size_;
  std::string_view rest_;
};

}  // namespace carrel::retrieval
