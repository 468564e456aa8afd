// A file that comes in parts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gateway/types/file.h"
#include "gateway/types/ids.h"

namespace carrel::gateway {

inline constexpr uint64_t kPartBytesMax = uint64_t{64} << 20;
inline constexpr uint64_t kUploadBytesMax = uint64_t{8} << 30;
inline constexpr size_t kUploadPartsMax = 10'000;
// After this long an upload that is not complete is given up.
inline constexpr absl::Duration kUploadLifetime = absl::Hours(1);

struct FileUpload {
  enum class Status { kPending, kCompleted, kCancelled, kExpired };

  UploadId id;
  ProjectId project;
  absl::Time created_at;
  absl::Time expires_at;
  std::string filename;
  std::string purpose;
  std::string mime_type;
  uint64_t bytes = 0;  // of the whole file
  Status status = Status::kPending;
  std::optional<int64_t> file_lives_s;
  FileId file_id;  // kCompleted
};

struct UploadPart {
  PartId id;
  UploadId upload_id;
  ProjectId project;
  absl::Time created_at;
  Blob blob;
};

// An upload as a client asks for it.
struct NewUpload {
  std::string filename;
  std::string purpose;
  std::string mime_type;
  uint64_t bytes = 0;
  std::optional<absl::Duration> file_lives;
};

}  // namespace carrel::gateway
