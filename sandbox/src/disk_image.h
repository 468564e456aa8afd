// Images of a file system for the disk-backed workspaces: one ext4 each, in a file that has no name.
//
// The size of an image is the limit. Inside lie `data`, the workspace, and `rest`, which takes up what the file system
// has beyond the limits (its inodes come in whole blocks and its space in whole groups), so that in an empty workspace
// exactly `bytes / 4096` blocks and `files - 1` inodes are free, as on a tmpfs. Only `data` is shown to anybody.
//
// The file is made by O_TMPFILE: it is gone when the last descriptor is, however its owner ends. Its space is taken at
// once (fallocate), so that what a session was promised is there whoever else fills the disk.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/base/unique_fd.h"

namespace carrel::sandbox {

// The directory of an image that is the workspace.
inline constexpr char kDiskData[] = "data";

struct DiskSize {
  uint64_t bytes = 0;  // of data; rounded down to whole blocks of 4 KiB, at least one
  uint64_t files = 0;  // inodes, that of the directory included, as nr_inodes of a tmpfs
  friend bool operator==(const DiskSize&, const DiskSize&) = default;
};

// Not thread-safe.
class DiskImages final {
 public:
  // The directory must be there, on a file system that is no memory, and mke2fs (e2fsprogs) be installed.
  // NOT_FOUND, FAILED_PRECONDITION: which of these is not so, and the mend.
  [[nodiscard]] static absl::StatusOr<DiskImages> Open(const std::string& directory);

  // Runs mke2fs, if no image of this size was made lately. Errors as of Make.
  [[nodiscard]] absl::Status Prepare(const DiskSize& size);

  // Takes some milliseconds, of a size that was not made lately some tens.
  // RESOURCE_EXHAUSTED: not so much space is free on the disk. Other errors: loop_mount.h, mke2fs.
  [[nodiscard]] absl::StatusOr<UniqueFd> Make(const DiskSize& size);

  // Bytes that are free for images on the directory's file system: what ordinary users may take, but for 1 GiB (of a
  // disk below 16 GiB, a sixteenth) that is left to everybody else.
  [[nodiscard]] uint64_t FreeBytes() const;

 private:
  // What is in an image of this size before anybody writes: mke2fs is run once, the rest is a copy.
  struct Extent {
    uint64_t offset = 0;
    std::string bytes;
  };
  struct Template {
    DiskSize size;
    uint64_t image_bytes = 0;
    std::vector<Extent> extents;
  };
  DiskImages(UniqueFd directory, std::string path, std::string mke2fs)
      : directory_(std::move(directory)), path_(std::move(path)), mke2fs_(std::move(mke2fs)) {}
  [[nodiscard]] absl::StatusOr<UniqueFd> NewFile(uint64_t bytes) const;
  [[nodiscard]] absl::StatusOr<const Template*> TemplateOf(const DiskSize& size);
  [[nodiscard]] absl::StatusOr<Template> MakeTemplate(const DiskSize& size, uint64_t image_bytes) const;

  UniqueFd directory_;
  std::string path_;
  std::string mke2fs_;
  std::vector<Template> templates_;  // the last used last
};

}  // namespace carrel::sandbox
