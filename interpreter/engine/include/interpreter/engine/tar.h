// Archives of regular files and directories: ustar with pax headers (POSIX.1-2001), as much of it as a workspace needs.
//
// Our own, and strict, because what is read here was written by strangers and is read outside of the jail: a library
// understands sparse files, hard links, ACLs and a dozen dialects, and each of them is something to get wrong. Whatever
// is not a regular file or a directory with a plain relative path is refused, with the reason.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace carrel::interpreter {

struct TarEntry {
  enum class Kind : uint8_t { kFile, kDirectory };
  std::string path;  // relative, '/' between parts, none at the end
  Kind kind = Kind::kFile;
  uint64_t size_bytes = 0;
  uint32_t mode = 0;        // permission bits
  int64_t modified_ns = 0;  // Unix time
};

// Writes an archive piece by piece. Not thread-safe.
class TarWriter final {
 public:
  using Sink = std::function<absl::Status(std::string_view)>;
  explicit TarWriter(Sink sink) : sink_(std::move(sink)) {}

  // Begins an entry. The size_bytes of a file must have come through Data before the next.
  [[nodiscard]] absl::Status Add(const TarEntry& entry);
  [[nodiscard]] absl::Status Data(std::string_view bytes);
  // Ends the archive. FAILED_PRECONDITION (also of Add and Data): the last file has more or fewer bytes than was said.
  [[nodiscard]] absl::Status Finish();

 private:
  Sink sink_;
  uint64_t left_ = 0;     // of the file that is being written
  uint64_t padding_ = 0;  // after it
};

struct TarLimits {
  uint64_t entries_max = 10'000;
  // Of all files together.
  uint64_t content_bytes_max = 0;
};

// Reads an archive that lies in a file, entry by entry, with constant memory. Reads are at offsets: the descriptor's
// own position stays.
class TarReader final {
 public:
  // `fd` must stay open.
  TarReader(int fd, uint64_t archive_bytes, TarLimits limits)
      : fd_(fd), archive_bytes_(archive_bytes), limits_(limits) {}

  struct Found {
    TarEntry entry;
    uint64_t offset = 0;  // of its bytes in the archive
  };
  // nullopt: the end. INVALID_ARGUMENT (errors.h, field "archive"): not an archive, or an entry that is refused;
  // RESOURCE_EXHAUSTED: over a limit. After an error the reader is of no more use.
  [[nodiscard]] absl::StatusOr<std::optional<Found>> Next();

 private:
  // What a pax header or a GNU long name said of the entry that follows.
  struct Extended {
    std::optional<std::string> path;
    std::optional<uint64_t> size_bytes;
    std::optional<int64_t> modified_ns;
  };
  [[nodiscard]] absl::StatusOr<std::optional<Found>> NextEntry();
  [[nodiscard]] absl::StatusOr<std::string> ReadAt(uint64_t offset, uint64_t bytes) const;
  [[nodiscard]] absl::StatusOr<std::string> TakeText(uint64_t bytes);
  [[nodiscard]] static absl::Status ParsePax(std::string_view records, Extended& extended);
  [[nodiscard]] absl::Status CheckEnd();
  [[nodiscard]] absl::StatusOr<Found> ToEntry(std::string_view header, char type, const Extended& extended);

  const int fd_;
  const uint64_t archive_bytes_;
  const TarLimits limits_;
  uint64_t at_ = 0;
  uint64_t entries_ = 0;
  uint64_t content_bytes_ = 0;
};

}  // namespace carrel::interpreter
