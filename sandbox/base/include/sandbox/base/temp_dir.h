// A directory of our own that goes away with all that is in it.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace carrel {

// Owns one directory (mode 0700) below `parent`. Not thread-safe.
class [[nodiscard]] TempDir final {
 public:
  // `parent` empty: $TMPDIR, else /tmp.
  [[nodiscard]] static absl::StatusOr<TempDir> Create(const std::string& parent = "");
  TempDir(TempDir&& other) noexcept;
  TempDir& operator=(TempDir&& other) noexcept;
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit TempDir(std::string path) : path_(std::move(path)) {}
  void Remove();

  std::string path_;
};

}  // namespace carrel
