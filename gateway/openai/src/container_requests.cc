// Containers and uploads.
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gateway/openai/requests.h"
#include "gateway/types/status_macros.h"
#include "request_parts.h"

namespace carrel::gateway::openai {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr size_t kContainerFilesMax = 50;
constexpr size_t kFilenameMax = 255;
constexpr size_t kMimeTypeMax = 255;
constexpr int64_t kMinutesMax = 24 * 60;
constexpr double kIntegerMax = 9e15;

int64_t ReadIdleMs(ObjectReader& reader) {
  auto expiry = reader.Object("expires_after");
  if (!expiry.has_value()) return 0;
  if (expiry->Find("anchor") == nullptr) expiry->Missing("anchor");
  expiry->Choice("anchor", {"last_active_at"});
  if (expiry->Find("minutes") == nullptr) expiry->Missing("minutes");
  const int64_t minutes = expiry->Integer("minutes", {1, static_cast<double>(kMinutesMax)}).value_or(20);
  expiry->Finish();
  return minutes * 60 * 1000;
}

// What code here cannot have is refused, not promised.
void RefuseWhatIsNotThere(ObjectReader& reader) {
  if (auto policy = reader.Object("network_policy")) {
    if (policy->Find("type") == nullptr) policy->Missing("type");
    // "allowlist" would need a network, and there is none in the jail.
    policy->Choice("type", {"disabled"});
    policy->Finish();
  }
  const auto skills = reader.Array("skills");
  if (skills.has_value() && !skills->empty()) {
    reader.Fail(ErrorKind::kInvalidRequest, "skills", {"This server has no skills: leave 'skills' out."});
  }
}

}  // namespace

absl::StatusOr<NewContainer> ParseNewContainer(std::string_view body) {
  return Parse(body, [](ObjectReader& reader) {
    NewContainer container;
    container.name = reader.RequiredText("name", kContainerNameMax);
    container.files = ToIds<FileId>(reader.Texts("file_ids", kContainerFilesMax).value_or(std::vector<std::string>()));
    container.idle_ms = ReadIdleMs(reader);
    const std::string memory = reader.Choice("memory_limit", {"1g", "4g", "16g"}).value_or("1g");
    container.limits.memory_bytes = (memory == "16g" ? 16 : memory == "4g" ? 4 : 1) * kGiB;
    RefuseWhatIsNotThere(reader);
    return container;
  });
}

absl::StatusOr<FileId> ParseContainerFile(std::string_view body) {
  return Parse(body, [](ObjectReader& reader) { return FileId(reader.RequiredText("file_id")); });
}

absl::StatusOr<NewUpload> ParseNewUpload(std::string_view body) {
  return Parse(body, [](ObjectReader& reader) {
    NewUpload upload;
    upload.filename = reader.RequiredText("filename", kFilenameMax);
    upload.purpose = reader.RequiredText("purpose");
    upload.mime_type = reader.RequiredText("mime_type", kMimeTypeMax);
    if (reader.Find("bytes") == nullptr) reader.Missing("bytes");
    upload.bytes =
        static_cast<uint64_t>(reader.Integer("bytes", {1, static_cast<double>(kUploadBytesMax)}).value_or(0));
    if (auto expiry = reader.Object("expires_after")) {
      const std::string anchor = expiry->RequiredText("anchor");
      if (expiry->Find("seconds") == nullptr) expiry->Missing("seconds");
      const int64_t seconds = expiry->Integer("seconds", {-kIntegerMax, kIntegerMax}).value_or(0);
      expiry->Finish();
      auto lives = ParseFileExpiry(anchor, absl::StrCat(seconds));
      if (lives.ok()) {
        upload.file_lives = *lives;
      } else if (reader.error().ok()) {
        reader.error() = lives.status();
      }
    }
    return upload;
  });
}

absl::StatusOr<UploadCompletion> ParseUploadCompletion(std::string_view body) {
  return Parse(body, [](ObjectReader& reader) {
    UploadCompletion completion;
    const auto ids = reader.Texts("part_ids", kUploadPartsMax);
    if (!ids.has_value()) {
      reader.Missing("part_ids");
    } else if (ids->empty()) {
      reader.Fail(ErrorKind::kArrayTooShort, "part_ids", {"1", "0"});
    }
    completion.parts = ToIds<PartId>(ids.value_or(std::vector<std::string>()));
    completion.md5 = reader.Text("md5", 64).value_or("");
    return completion;
  });
}

}  // namespace carrel::gateway::openai
