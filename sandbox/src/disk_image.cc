#include "disk_image.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "loop_mount.h"
#include "sandbox/base/child_process.h"
#include "sandbox/base/error.h"
#include "sandbox/base/message_socket.h"

namespace carrel::sandbox {
namespace {

constexpr uint64_t kBlockBytes = 4096;
constexpr uint64_t kInodeBytes = 256;
constexpr uint64_t kGroupBlocks = 8 * kBlockBytes;  // as many as a block has bits
// The kernel keeps these back for its own tables: a fiftieth, at most so many (ext4: s_resv_clusters).
constexpr uint64_t kKeptBackBlocksMax = 4096;
// Inodes that are nobody's (the first ten, the root among them), and of `data` and `rest`.
constexpr uint64_t kOwnInodes = 12;
// Superblock and descriptors with their copies, directories, and what rounding takes.
constexpr uint64_t kSlackBlocks = 256;
// More space for what an estimate left out, so many times.
constexpr int kAttempts = 4;
constexpr size_t kTemplatesMax = 8;
constexpr absl::Duration kMke2fsMax = absl::Seconds(60);
constexpr char kRest[] = "rest";
constexpr char kMend[] = ". Mend: a directory on ext4, xfs or btrfs";
// What stays free for everybody else on the disk, our own databases among them: so much, or of a small one a sixteenth.
constexpr uint64_t kKeptFreeBytes = uint64_t{1} << 30;

// No journal: nobody mounts the image again. Named one by one, for what is on by default differs between versions and
// /etc/mke2fs.conf may say anything.
constexpr char kFeatures[] =
    "none,filetype,extent,dir_index,dir_nlink,extra_isize,sparse_super,large_file,huge_file,flex_bg,uninit_bg,ext_attr";

uint64_t DataBlocks(const DiskSize& size) { return std::max<uint64_t>(1, size.bytes / kBlockBytes); }

uint64_t ImageBytes(const DiskSize& size) {
  const uint64_t inode_blocks = (size.files + kOwnInodes) * kInodeBytes / kBlockBytes + 1;
  uint64_t blocks = DataBlocks(size) + inode_blocks + kSlackBlocks;
  blocks += std::min(kKeptBackBlocksMax, blocks / 49 + 1);
  const uint64_t groups = blocks / kGroupBlocks + 1;
  return (blocks + groups * 8) * kBlockBytes;  // two maps of each group, a rounded table, copies
}

absl::Status DiskError(int error, const std::string& what) {
  if (error == ENOSPC || error == EDQUOT) {
    return absl::ResourceExhaustedError(absl::StrCat(what, ": ", std::strerror(error)));
  }
  return ErrnoStatus(error, what);
}

std::string FindMke2fs() {
  for (const char* path : {"/usr/sbin/mke2fs", "/sbin/mke2fs", "/usr/bin/mke2fs"}) {
    if (::access(path, X_OK) == 0) return path;
  }
  return "";
}

absl::Status RunMke2fs(const std::string& mke2fs, int image, uint64_t inodes) {
  SpawnOptions spawn;
  spawn.argv = {mke2fs,
                "-q",
                "-F",  // it is a file, and that is meant
                "-b",
                absl::StrCat(kBlockBytes),
                "-I",
                absl::StrCat(kInodeBytes),
                "-m",
                "0",
                "-N",
                absl::StrCat(inodes),
                "-O",
                kFeatures,
                "-E",
                "lazy_itable_init=1,nodiscard",
                "/proc/self/fd/3"};
  spawn.env = {"LC_ALL=C", "MKE2FS_CONFIG=/dev/null"};
  auto words = MakePipe();  // of which it has some also when all is well
  if (!words.ok()) return words.status();
  spawn.fds = {{image, 3}, {words->write.get(), 1}, {words->write.get(), 2}};
  spawn.dies_with_parent = true;
  auto process = ChildProcess::Spawn(spawn);
  if (!process.ok()) return process.status();
  words->write.reset();
  const auto end = process->Wait(kMke2fsMax);
  if (!end) return absl::UnavailableError(absl::StrCat(mke2fs, " does not end"));
  if (end->ok()) return absl::OkStatus();
  std::string text(1024, '\0');
  text.resize(static_cast<size_t>(std::max<ssize_t>(0, ::read(words->read.get(), text.data(), text.size()))));
  return absl::UnavailableError(absl::StrCat(mke2fs, " ", Describe(*end), ": ", absl::StripAsciiWhitespace(text)));
}

// What is free for everybody, in blocks and inodes.
struct Free {
  uint64_t blocks = 0;
  uint64_t inodes = 0;
};

absl::StatusOr<Free> FreeOn(int mount) {
  struct statfs about {};
  if (::fstatfs(mount, &about) != 0) return ErrnoStatus(errno, "statfs of an image");
  return Free{.blocks = about.f_bavail, .inodes = about.f_ffree};
}

// Takes up what is free beyond `wanted`. false: the image is too small for that.
absl::StatusOr<bool> FillRest(int mount, const Free& wanted) {
  auto free = FreeOn(mount);
  if (!free.ok()) return free.status();
  if (free->inodes < wanted.inodes) return false;
  const UniqueFd rest(::openat(mount, kRest, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!rest) return ErrnoStatus(errno, kRest);
  // One of them holds the space, and must be there before the space is counted.
  for (uint64_t surplus = free->inodes - wanted.inodes; surplus > 0; --surplus) {
    if (::mknodat(rest.get(), absl::StrCat(surplus).c_str(), S_IFREG | 0600, 0) != 0) {
      if (errno == ENOSPC) return false;
      return ErrnoStatus(errno, "take up inodes");
    }
  }
  const UniqueFd filler(::openat(rest.get(), "1", O_WRONLY | O_CLOEXEC));
  if (!filler) return ErrnoStatus(errno, "take up space");
  uint64_t filled = 0;
  // Not in one go: what the extents take in tables is known afterwards. The last block may be one of those.
  for (int round = 0; round < 8; ++round) {
    if (free = FreeOn(mount); !free.ok()) return free.status();
    if (free->blocks == wanted.blocks) return free->inodes == wanted.inodes;
    if (free->blocks < wanted.blocks) return false;
    const uint64_t surplus = (free->blocks - wanted.blocks) * kBlockBytes;
    if (::fallocate(filler.get(), 0, static_cast<off_t>(filled), static_cast<off_t>(surplus)) != 0) {
      return DiskError(errno, "take up space");
    }
    filled += surplus;
  }
  return false;
}

// Makes `data` and `rest` on a fresh image. false: it is too small.
absl::StatusOr<bool> Furnish(int image, const DiskSize& size) {
  auto mount = MountImage(image);
  if (!mount.ok()) return mount.status();
  if (::unlinkat(mount->get(), "lost+found", AT_REMOVEDIR) != 0) return ErrnoStatus(errno, "remove lost+found");
  for (const char* name : {kDiskData, kRest}) {
    if (::mkdirat(mount->get(), name, 0700) != 0) {
      if (errno == ENOSPC) return false;
      return ErrnoStatus(errno, absl::StrCat("mkdir ", name));
    }
  }
  const UniqueFd data(::openat(mount->get(), kDiskData, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!data || ::fchmod(data.get(), 0755) != 0) return ErrnoStatus(errno, kDiskData);
  return FillRest(mount->get(), {.blocks = DataBlocks(size), .inodes = size.files > 0 ? size.files - 1 : 0});
}

}  // namespace

absl::StatusOr<DiskImages> DiskImages::Open(const std::string& directory) {
  if (!directory.starts_with('/')) {
    return absl::FailedPreconditionError(absl::StrCat(directory, " is no absolute path"));
  }
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    return absl::NotFoundError(
        absl::StrCat(directory, ": ", std::strerror(errno), ". Mend: mkdir -p -m 700 ", directory));
  }
  struct statfs about {};
  if (::fstatfs(fd.get(), &about) != 0) return ErrnoStatus(errno, directory);
  if (about.f_type == TMPFS_MAGIC || about.f_type == RAMFS_MAGIC) {
    return absl::FailedPreconditionError(
        absl::StrCat(directory, " is memory (a tmpfs), not a disk. Mend: a directory on a disk, or no ",
                     "workspace_directory: workspaces are tmpfs then, each within its session's memory limit"));
  }
  std::string mke2fs = FindMke2fs();
  if (mke2fs.empty()) return absl::NotFoundError("mke2fs is not installed. Mend: apt-get install e2fsprogs");
  return DiskImages(std::move(fd), directory, std::move(mke2fs));
}

uint64_t DiskImages::FreeBytes() const {
  struct statfs about {};
  if (::fstatfs(directory_.get(), &about) != 0) return 0;
  const auto unit = static_cast<uint64_t>(about.f_bsize);
  // f_bavail: not what is kept for root, which we are.
  const uint64_t free = about.f_bavail * unit;
  const uint64_t kept = std::min(kKeptFreeBytes, about.f_blocks * unit / 16);
  return free > kept ? free - kept : 0;
}

absl::StatusOr<UniqueFd> DiskImages::NewFile(uint64_t bytes) const {
  UniqueFd file(::openat(directory_.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file) {
    return DiskError(errno, absl::StrCat(path_, " cannot hold a file without a name", kMend));
  }
  const uint64_t free = FreeBytes();
  if (free >= bytes && ::fallocate(file.get(), 0, 0, static_cast<off_t>(bytes)) == 0) return file;
  if (free < bytes || errno == ENOSPC || errno == EDQUOT || errno == EFBIG) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path_, ": of the ", bytes, " bytes that a workspace takes ", free, " are free"));
  }
  return ErrnoStatus(errno, absl::StrCat(path_, " cannot have space reserved", kMend));
}

absl::StatusOr<DiskImages::Template> DiskImages::MakeTemplate(const DiskSize& size, uint64_t image_bytes) const {
  Template made{.size = size, .image_bytes = 0, .extents = {}};
  for (int attempt = 0; attempt < kAttempts && made.image_bytes == 0; ++attempt) {
    // Holes, so that what is in it can be found; nothing that would matter if the disk were full now.
    const UniqueFd file(::openat(directory_.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!file || ::ftruncate(file.get(), static_cast<off_t>(image_bytes)) != 0) {
      return DiskError(errno, absl::StrCat(path_, " cannot hold a file without a name", kMend));
    }
    if (absl::Status s = RunMke2fs(mke2fs_, file.get(), size.files + kOwnInodes); !s.ok()) return s;
    const auto fits = Furnish(file.get(), size);
    if (!fits.ok()) return fits.status();
    if (!*fits) {
      image_bytes += image_bytes / 16 / kBlockBytes * kBlockBytes + kSlackBlocks * kBlockBytes;
      continue;
    }
    made.image_bytes = image_bytes;
    std::string block(kBlockBytes, '\0');
    const std::string nothing(kBlockBytes, '\0');
    const auto end = static_cast<off_t>(image_bytes);
    for (off_t at = 0; at < end && (at = ::lseek(file.get(), at, SEEK_DATA)) >= 0;) {
      at -= at % static_cast<off_t>(kBlockBytes);
      const off_t hole = ::lseek(file.get(), at, SEEK_HOLE);
      for (; at < (hole < 0 ? end : hole); at += static_cast<off_t>(kBlockBytes)) {
        if (::pread(file.get(), block.data(), block.size(), at) != static_cast<ssize_t>(block.size())) {
          return absl::UnavailableError(absl::StrCat(path_, ": a template cannot be read back"));
        }
        if (block == nothing) continue;
        const auto offset = static_cast<uint64_t>(at);
        if (made.extents.empty() || made.extents.back().offset + made.extents.back().bytes.size() != offset) {
          made.extents.push_back({.offset = offset, .bytes = {}});
        }
        made.extents.back().bytes += block;
      }
    }
  }
  if (made.image_bytes == 0) return absl::InternalError("no size of an image fits these limits");
  return made;
}

absl::StatusOr<const DiskImages::Template*> DiskImages::TemplateOf(const DiskSize& size) {
  const auto known =
      std::find_if(templates_.begin(), templates_.end(), [&size](const Template& made) { return made.size == size; });
  if (known != templates_.end()) {
    std::rotate(known, known + 1, templates_.end());
    return &templates_.back();
  }
  auto made = MakeTemplate(size, ImageBytes(size));
  if (!made.ok()) return made.status();
  if (templates_.size() == kTemplatesMax) templates_.erase(templates_.begin());
  templates_.push_back(*std::move(made));
  return &templates_.back();
}

absl::Status DiskImages::Prepare(const DiskSize& size) { return TemplateOf(size).status(); }

absl::StatusOr<UniqueFd> DiskImages::Make(const DiskSize& size) {
  const auto source = TemplateOf(size);
  if (!source.ok()) return source.status();
  auto file = NewFile((*source)->image_bytes);
  if (!file.ok()) return file.status();
  for (const Extent& extent : (*source)->extents) {
    if (::pwrite(file->get(), extent.bytes.data(), extent.bytes.size(), static_cast<off_t>(extent.offset)) !=
        static_cast<ssize_t>(extent.bytes.size())) {
      return DiskError(errno, absl::StrCat("write an image in ", path_));
    }
  }
  return file;
}

}  // namespace carrel::sandbox
