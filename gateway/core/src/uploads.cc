#include "gateway/core/uploads.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gateway/types/error.h"
#include "gateway/types/status_macros.h"

namespace carrel::gateway {
namespace {

constexpr size_t kPieceBytes = 256 * 1024;

const char* NameOf(FileUpload::Status status) {
  switch (status) {
    case FileUpload::Status::kPending:
      return "pending";
    case FileUpload::Status::kCompleted:
      return "completed";
    case FileUpload::Status::kCancelled:
      return "cancelled";
    case FileUpload::Status::kExpired:
      break;
  }
  return "expired";
}

absl::Status NotPending(const FileUpload& upload) {
  return MakeError(ErrorKind::kInvalidRequest, "",
                   {absl::StrCat("Upload ", upload.id.value, " is ", NameOf(upload.status), ", not pending.")});
}

class Md5 final {
 public:
  Md5() : context_(EVP_MD_CTX_new()) { EVP_DigestInit_ex(context_, EVP_md5(), nullptr); }
  ~Md5() { EVP_MD_CTX_free(context_); }
  Md5(const Md5&) = delete;
  Md5& operator=(const Md5&) = delete;

  void Add(std::string_view bytes) { EVP_DigestUpdate(context_, bytes.data(), bytes.size()); }
  std::string Hexadecimal() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned size = 0;
    EVP_DigestFinal_ex(context_, digest.data(), &size);
    return absl::BytesToHexString({reinterpret_cast<const char*>(digest.data()), size});
  }

 private:
  EVP_MD_CTX* const context_;
};

}  // namespace

absl::StatusOr<FileUpload> Uploads::Create(const ProjectId& project, NewUpload request) {
  GATEWAY_RETURN_IF_ERROR(Files::CheckPurpose(request.purpose));
  if (request.bytes > kUploadBytesMax) {
    return MakeError(ErrorKind::kNumberAboveMax, "bytes",
                     {"integer", absl::StrCat(kUploadBytesMax), absl::StrCat(request.bytes)});
  }
  const absl::Time now = backing_.clock.Now();
  FileUpload upload{.id = backing_.ids.NewUpload(),
                    .project = project,
                    .created_at = now,
                    .expires_at = now + kUploadLifetime,
                    .filename = std::move(request.filename),
                    .purpose = std::move(request.purpose),
                    .mime_type = std::move(request.mime_type),
                    .bytes = request.bytes};
  if (request.file_lives.has_value()) upload.file_lives_s = absl::ToInt64Seconds(*request.file_lives);
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) { return t.PutUpload(upload); }));
  return upload;
}

absl::StatusOr<UploadPart> Uploads::AddPart(const ProjectId& project, const UploadId& id, StoredBlob bytes) {
  UploadPart part{.id = backing_.ids.NewPart(),
                  .upload_id = id,
                  .project = project,
                  .created_at = backing_.clock.Now(),
                  .blob = bytes.blob};
  absl::Status added = backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(const FileUpload upload, t.GetUpload(project, id));
    if (upload.status != FileUpload::Status::kPending || upload.expires_at <= part.created_at) {
      return NotPending(upload);
    }
    GATEWAY_ASSIGN_OR_RETURN(const std::vector<UploadPart> parts, t.UploadParts(project, id));
    uint64_t total = part.blob.size_bytes;
    for (const UploadPart& other : parts) total += other.blob.size_bytes;
    // Parts may be sent again and the first ones not used, but not without end.
    if (parts.size() >= kUploadPartsMax || total > 2 * upload.bytes + kPartBytesMax) {
      return MakeError(ErrorKind::kInvalidRequest, "data",
                       {absl::StrCat("Upload ", id.value, " takes ", upload.bytes, " bytes in at most ",
                                     kUploadPartsMax, " parts; ", parts.size(), " parts are there already.")});
    }
    return t.PutUploadPart(part);
  });
  const std::string sha256 = bytes.blob.sha256;
  bytes.pin.reset();
  if (!added.ok()) {
    GATEWAY_RETURN_IF_ERROR(files_.RemoveUnused(sha256));
    return added;
  }
  return part;
}

absl::StatusOr<StoredBlob> Uploads::Join(const std::vector<UploadPart>& parts, const std::string& md5) {
  GATEWAY_ASSIGN_OR_RETURN(const std::unique_ptr<BlobWriter> writer, backing_.files.Create(kUploadBytesMax));
  Md5 digest;
  std::string piece(kPieceBytes, '\0');
  for (const UploadPart& part : parts) {
    GATEWAY_ASSIGN_OR_RETURN(const std::unique_ptr<BlobReader> reader, backing_.files.Open(part.blob.sha256));
    while (true) {
      GATEWAY_ASSIGN_OR_RETURN(const size_t got, reader->Read(piece));
      if (got == 0) break;
      const std::string_view bytes(piece.data(), got);
      digest.Add(bytes);
      GATEWAY_RETURN_IF_ERROR(writer->Append(bytes));
    }
  }
  const std::string found = digest.Hexadecimal();
  if (!md5.empty() && absl::AsciiStrToLower(md5) != found) {
    return MakeError(ErrorKind::kInvalidRequest, "md5",
                     {absl::StrCat("The md5 of the parts is ", found, ", not the one that was given.")});
  }
  return writer->Finish();
}

absl::StatusOr<CompletedUpload> Uploads::Complete(const ProjectId& project, const UploadId& id,
                                                  const std::vector<PartId>& wanted, const std::string& md5) {
  FileUpload upload;
  std::vector<UploadPart> known;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(upload, s.GetUpload(project, id));
    GATEWAY_ASSIGN_OR_RETURN(known, s.UploadParts(project, id));
    return absl::OkStatus();
  }));
  if (upload.status != FileUpload::Status::kPending) return NotPending(upload);
  std::vector<UploadPart> parts;
  uint64_t total = 0;
  for (const PartId& part : wanted) {
    const auto found = std::find_if(known.begin(), known.end(), [&](const UploadPart& p) { return p.id == part; });
    if (found == known.end()) return MissingError("upload part", part.value);
    total += found->blob.size_bytes;
    parts.push_back(*found);
  }
  if (total != upload.bytes) {
    return MakeError(
        ErrorKind::kInvalidRequest, "part_ids",
        {absl::StrCat("The parts have ", total, " bytes together, but the upload was begun for ", upload.bytes, ".")});
  }
  absl::StatusOr<StoredBlob> joined = Join(parts, md5);
  if (!joined.ok()) {
    // Whoever ended the upload meanwhile has taken the parts away: that is the error that counts.
    GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(upload, s.GetUpload(project, id));
      return upload.status == FileUpload::Status::kPending ? absl::OkStatus() : NotPending(upload);
    }));
    return joined.status();
  }
  StoredBlob whole = *std::move(joined);
  FileObject file{.id = backing_.ids.NewFile(),
                  .project = project,
                  .created_at = backing_.clock.Now(),
                  .filename = upload.filename,
                  .purpose = upload.purpose,
                  .blob = whole.blob};
  if (upload.file_lives_s.has_value()) file.expires_at = file.created_at + absl::Seconds(*upload.file_lives_s);
  absl::StatusOr<FileUpload> ended = End(project, id, FileUpload::Status::kCompleted, &file);
  whole.pin.reset();
  if (!ended.ok()) {
    GATEWAY_RETURN_IF_ERROR(files_.RemoveUnused(file.blob.sha256));
    return ended.status();
  }
  return CompletedUpload{.upload = *std::move(ended), .file = std::move(file)};
}

absl::StatusOr<FileUpload> Uploads::Cancel(const ProjectId& project, const UploadId& id) {
  return End(project, id, FileUpload::Status::kCancelled, nullptr);
}

absl::StatusOr<FileUpload> Uploads::End(const ProjectId& project, const UploadId& id, FileUpload::Status status,
                                        const FileObject* file) {
  FileUpload upload;
  std::vector<UploadPart> parts;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(upload, t.GetUpload(project, id));
    if (upload.status != FileUpload::Status::kPending) return NotPending(upload);
    GATEWAY_ASSIGN_OR_RETURN(parts, t.UploadParts(project, id));
    upload.status = status;
    if (file != nullptr) {
      upload.file_id = file->id;
      GATEWAY_RETURN_IF_ERROR(t.PutFile(*file));
    }
    GATEWAY_RETURN_IF_ERROR(t.DeleteUploadParts(project, id));
    return t.PutUpload(upload);
  }));
  for (const UploadPart& part : parts) GATEWAY_RETURN_IF_ERROR(files_.RemoveUnused(part.blob.sha256));
  return upload;
}

absl::Status Uploads::ExpireDue() {
  std::vector<FileUpload> due;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(due, s.UploadsToExpire(backing_.clock.Now()));
    return absl::OkStatus();
  }));
  for (const FileUpload& upload : due) {
    const auto ended = End(upload.project, upload.id, FileUpload::Status::kExpired, nullptr);
    // Completed or cancelled in the meantime is as good.
    if (!ended.ok() && !ErrorOf(ended.status()).has_value()) return ended.status();
  }
  return absl::OkStatus();
}

}  // namespace carrel::gateway
