// The workspace's files, touched only beneath its directory and never through a link. errno values: this runs in the
// init, and they travel as they are.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "sandbox/base/unique_fd.h"
#include "sandbox/jail.h"

namespace carrel::sandbox {

struct FileOwner {
  uint32_t uid = 0;
  uint32_t gid = 0;
};

struct OpenOutcome {
  int error = 0;
  UniqueFd fd;
};

// For reading; EINVAL when it is not a regular file, ELOOP when there is a link in the way.
[[nodiscard]] OpenOutcome OpenWorkspaceFile(int workspace, const std::string& path);

// Of open files.
[[nodiscard]] WorkspaceEntry DescribeFile(std::string path, int fd);

[[nodiscard]] WorkspaceListing ListWorkspace(int workspace, const ListOptions& options);

// EEXIST: there is something else of that name.
[[nodiscard]] int MakeWorkspaceDirectory(int workspace, const std::string& path, FileOwner owner,
                                         const WriteOptions& options);

[[nodiscard]] int RemoveWorkspaceFile(int workspace, const std::string& path);

// A file that is being written. It has no name until Finish gives it one; dropped before that, it leaves nothing.
class [[nodiscard]] NewFile final {
 public:
  struct Outcome;
  [[nodiscard]] static Outcome Create(int workspace, std::string path, FileOwner owner, const WriteOptions& options);

  [[nodiscard]] int fd() const { return fd_.get(); }
  // Gives it its name. EEXIST.
  // `proc`: a /proc in which the caller finds itself; -1: the one at /proc.
  [[nodiscard]] int Finish(int proc = -1);
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::string leaf_;
  UniqueFd parent_;
  UniqueFd fd_;
  WriteOptions options_;
};
struct NewFile::Outcome {
  int error = 0;
  NewFile file;
};

}  // namespace carrel::sandbox
