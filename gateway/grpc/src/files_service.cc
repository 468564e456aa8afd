#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "caller.h"
#include "carrel/gateway/v1/files.grpc.pb.h"
#include "gateway/types/status_macros.h"
#include "services.h"

namespace carrel::gateway {
namespace {

constexpr std::size_t kPieceBytes = 256 * 1024;
constexpr std::size_t kDataBytesMax = std::size_t{1} << 20;
constexpr std::size_t kFilenameBytesMax = 255;
constexpr uint32_t kListDefault = 100;
constexpr uint32_t kListMax = 10'000;
constexpr uint64_t kExpirySecondsMin = 3600;
constexpr uint64_t kExpirySecondsMax = 2'592'000;

v1::File ToProto(const FileObject& file) {
  v1::File out;
  out.set_file_id(file.id.value);
  out.set_filename(file.filename);
  out.set_purpose(file.purpose);
  out.set_size_bytes(file.blob.size_bytes);
  out.set_created_at_ms(absl::ToUnixMillis(file.created_at));
  if (file.expires_at.has_value()) out.set_expires_at_ms(absl::ToUnixMillis(*file.expires_at));
  return out;
}

class FilesService final : public v1::Files::Service {
 public:
  explicit FilesService(const FrontPorts& ports) : keys_(ports.keys), files_(ports.files) {}

  grpc::Status UploadFile(grpc::ServerContext* context, grpc::ServerReader<v1::UploadFileRequest>* reader,
                          v1::File* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(const FileObject file, Upload(*context, project, *reader));
      *response = ToProto(file);
      return absl::OkStatus();
    });
  }

  grpc::Status GetFile(grpc::ServerContext* context, const v1::GetFileRequest* request, v1::File* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(const FileObject file, files_.Get(project, FileId(request->file_id())));
      *response = ToProto(file);
      return absl::OkStatus();
    });
  }

  grpc::Status ListFiles(grpc::ServerContext* context, const v1::ListFilesRequest* request,
                         v1::ListFilesResponse* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(const PageRequest page,
                               PageOf(request->limit(), request->after(), kListDefault, kListMax));
      GATEWAY_ASSIGN_OR_RETURN(const Page<FileObject> found,
                               files_.List(project, {.purpose = request->purpose()}, page));
      for (const FileObject& file : found.items) *response->add_files() = ToProto(file);
      response->set_has_more(found.has_more);
      return absl::OkStatus();
    });
  }

  grpc::Status DownloadFile(grpc::ServerContext* context, const v1::DownloadFileRequest* request,
                            grpc::ServerWriter<v1::DownloadFileResponse>* writer) override {
    return Serve(keys_, *context, [&](const ProjectId& project) { return Download(project, *request, *writer); });
  }

  grpc::Status DeleteFile(grpc::ServerContext* context, const v1::DeleteFileRequest* request,
                          v1::DeleteFileResponse*) override {
    return Serve(keys_, *context,
                 [&](const ProjectId& project) { return files_.Delete(project, FileId(request->file_id())); });
  }

 private:
  absl::StatusOr<FileObject> Upload(grpc::ServerContext& context, const ProjectId& project,
                                    grpc::ServerReader<v1::UploadFileRequest>& reader) {
    v1::UploadFileRequest part;
    if (!reader.Read(&part) || !part.has_header()) {
      return rpc::InvalidField("part", "missing", "a header as the first message");
    }
    const v1::UploadFileHeader header = std::move(*part.mutable_header());
    if (header.filename().empty() || header.filename().size() > kFilenameBytesMax) {
      return rpc::InvalidField("header.filename", header.filename(), "1 to 255 bytes");
    }
    const uint64_t lives = header.expires_after_s();
    if (lives != 0 && (lives < kExpirySecondsMin || lives > kExpirySecondsMax)) {
      return rpc::InvalidField("header.expires_after_s", absl::StrCat(lives), "3600 to 2592000, or 0 for never");
    }
    const std::string purpose = header.purpose().empty() ? "assistants" : header.purpose();
    GATEWAY_RETURN_IF_ERROR(Files::CheckPurpose(purpose));
    GATEWAY_ASSIGN_OR_RETURN(const std::unique_ptr<BlobWriter> writer, files_.StartUpload());
    while (reader.Read(&part)) {
      if (!part.has_data()) return rpc::InvalidField("part", "a second header", "data after the header");
      if (part.data().size() > kDataBytesMax) {
        return rpc::InvalidField("data", absl::StrCat(part.data().size(), " bytes"), "at most 1048576 bytes a message");
      }
      GATEWAY_RETURN_IF_ERROR(writer->Append(part.data()));
    }
    // A client that went away in the middle has not finished its file.
    if (context.IsCancelled()) return absl::CancelledError("the caller has gone");
    GATEWAY_ASSIGN_OR_RETURN(StoredBlob stored, writer->Finish());
    return files_.Create(project, {.filename = header.filename(),
                                   .purpose = purpose,
                                   .expires_after = lives == 0 ? std::nullopt : std::optional(absl::Seconds(lives)),
                                   .stored = std::move(stored)});
  }

  absl::Status Download(const ProjectId& project, const v1::DownloadFileRequest& request,
                        grpc::ServerWriter<v1::DownloadFileResponse>& writer) {
    GATEWAY_ASSIGN_OR_RETURN(const FileObject file, files_.Get(project, FileId(request.file_id())));
    GATEWAY_ASSIGN_OR_RETURN(const std::unique_ptr<BlobReader> reader, files_.Open(file));
    v1::DownloadFileResponse message;
    *message.mutable_file() = ToProto(file);
    bool open = writer.Write(message);
    std::string piece(kPieceBytes, '\0');
    while (open) {
      GATEWAY_ASSIGN_OR_RETURN(const std::size_t got, reader->Read(piece));
      if (got == 0) return absl::OkStatus();
      message.set_data(piece.data(), got);
      open = writer.Write(message);
    }
    return absl::CancelledError("the caller has gone");
  }

  Keys& keys_;
  Files& files_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeFilesService(const FrontPorts& ports) {
  return std::make_unique<FilesService>(ports);
}

}  // namespace carrel::gateway
