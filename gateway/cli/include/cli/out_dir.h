// Saving files under names that a stranger chose.
//
// Threat: the server's reply names the file, and behind it the user's code. Nothing outside the directory is written or
// replaced: names are checked, every directory on the way is opened without following links, and the file is written
// under a name of ours and renamed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/base/unique_fd.h"

namespace carrel::cli {

// A file being written; it appears under its name with Commit, whole, or not at all.
class [[nodiscard]] OutFile final {
 public:
  OutFile(OutFile&&) noexcept = default;
  OutFile& operator=(OutFile&&) = delete;
  ~OutFile();

  [[nodiscard]] absl::Status Write(std::string_view bytes);
  // Replaces a file of that name, never one that a link of that name points to.
  [[nodiscard]] absl::Status Commit();

 private:
  friend class OutDir;
  OutFile(UniqueFd directory, UniqueFd file, std::string temporary, std::string name)
      : directory_(std::move(directory)),
        file_(std::move(file)),
        temporary_(std::move(temporary)),
        name_(std::move(name)) {}

  UniqueFd directory_;
  UniqueFd file_;
  std::string temporary_;
  std::string name_;
};

class OutDir final {
 public:
  // Makes it, with its parents, when it is not there.
  [[nodiscard]] static absl::StatusOr<OutDir> Open(const std::string& path);

  // `name` is relative, '/' between parts; missing directories are made. PERMISSION_DENIED: a name that could lead
  // elsewhere ("..", absolute, a control character, a link on the way).
  [[nodiscard]] absl::StatusOr<OutFile> Create(std::string_view name) const;
  [[nodiscard]] bool Exists(const std::string& name) const;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  OutDir(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::string path_;
  UniqueFd fd_;
};

}  // namespace carrel::cli
