#include "interpreter/service/code_interpreter_service.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "event_stream.h"
#include "interpreter/engine/artifacts.h"
#include "interpreter/engine/errors.h"
#include "interpreter/engine/text.h"
#include "mapping.h"
#include "rpc/status.h"
#include "spool.h"

namespace carrel::interpreter {
namespace {

constexpr size_t kDataBytesMax = 1 << 20;
constexpr size_t kDownloadPieceBytes = 256 << 10;
// Headers and padding of an archive of 10000 entries.
constexpr uint64_t kArchiveOverheadMax = 64 << 20;

class ServiceImpl final : public v1::CodeInterpreter::Service {
 public:
  ServiceImpl(ServiceOptions options, SessionTable& table) : options_(std::move(options)), table_(table) {}

  grpc::Status CreateSession(grpc::ServerContext* context, const v1::CreateSessionRequest* request,
                             v1::Session* response) override {
    const absl::StatusOr<std::shared_ptr<Session>> session = table_.Create(
        {.owner = request->owner(),
         .runtime = request->runtime(),
         .limits = FromProto(request->limits()),
         .idle_timeout =
             absl::Milliseconds(static_cast<int64_t>(std::min<uint64_t>(request->idle_timeout_ms(), INT64_MAX))),
         .lifetime = absl::Milliseconds(static_cast<int64_t>(std::min<uint64_t>(request->lifetime_ms(), INT64_MAX))),
         .session_id = request->session_id(),
         .cancelled = [context] { return context->IsCancelled(); }});
    if (!session.ok()) return Refuse(session.status(), *context);
    *response = ToProto((*session)->Info());
    return grpc::Status::OK;
  }

  grpc::Status GetSession(grpc::ServerContext* context, const v1::GetSessionRequest* request,
                          v1::Session* response) override {
    const absl::StatusOr<std::shared_ptr<Session>> session = table_.Find(request->owner(), request->session_id());
    if (!session.ok()) return Refuse(session.status(), *context);
    *response = ToProto((*session)->Info());
    return grpc::Status::OK;
  }

  grpc::Status ListSessions(grpc::ServerContext* /*context*/, const v1::ListSessionsRequest* request,
                            v1::ListSessionsResponse* response) override {
    for (const std::shared_ptr<Session>& session : table_.List(request->owner())) {
      *response->add_sessions() = ToProto(session->Info());
    }
    return grpc::Status::OK;
  }

  grpc::Status DeleteSession(grpc::ServerContext* /*context*/, const v1::DeleteSessionRequest* request,
                             v1::DeleteSessionResponse* response) override {
    response->set_existed(table_.Delete(request->owner(), request->session_id()));
    return grpc::Status::OK;
  }

  grpc::Status Execute(grpc::ServerContext* context, const v1::ExecuteRequest* request,
                       grpc::ServerWriter<v1::ExecuteEvent>* writer) override {
    const absl::StatusOr<ReturnFiles> return_files = FromProto(request->return_files());
    if (!return_files.ok()) return Refuse(return_files.status(), *context);
    EventStream events(*context, *writer);
    absl::StatusOr<Outcome> outcome = table_.Execute({.owner = request->owner(),
                                                      .session_id = request->session_id(),
                                                      .runtime = request->runtime(),
                                                      .code = request->code(),
                                                      .limits = FromProto(request->limits()),
                                                      .return_files = *return_files,
                                                      .end_at_output_limit = request->end_at_output_limit(),
                                                      .save_figures = request->save_figures()},
                                                     events);
    if (!outcome.ok()) return Refuse(outcome.status(), *context);
    events.Finish(*std::move(outcome));
    return grpc::Status::OK;
  }

  grpc::Status Interrupt(grpc::ServerContext* context, const v1::InterruptRequest* request,
                         v1::InterruptResponse* response) override {
    const absl::StatusOr<std::shared_ptr<Session>> session = table_.Find(request->owner(), request->session_id());
    if (!session.ok()) return Refuse(session.status(), *context);
    const absl::StatusOr<bool> interrupted = (*session)->Interrupt();
    if (!interrupted.ok()) return Refuse(interrupted.status(), *context);
    response->set_interrupted(*interrupted);
    return grpc::Status::OK;
  }

  grpc::Status UploadFile(grpc::ServerContext* context, grpc::ServerReader<v1::UploadFileRequest>* reader,
                          v1::File* response) override {
    absl::StatusOr<WorkspaceFile> file = Upload(*context, *reader);
    if (!file.ok()) return Refuse(file.status(), *context);
    *response = ToProto(*file);
    return grpc::Status::OK;
  }

  grpc::Status ListFiles(grpc::ServerContext* context, const v1::ListFilesRequest* request,
                         v1::ListFilesResponse* response) override {
    const absl::StatusOr<std::shared_ptr<Session>> session = table_.Find(request->owner(), request->session_id());
    if (!session.ok()) return Refuse(session.status(), *context);
    const absl::StatusOr<Session::Files> files = (*session)->ListFiles();
    if (!files.ok()) return Refuse(files.status(), *context);
    for (const WorkspaceFile& file : files->files) *response->add_files() = ToProto(file);
    for (const SkippedFile& file : files->skipped) *response->add_skipped() = ToProto(file);
    return grpc::Status::OK;
  }

  grpc::Status DownloadFile(grpc::ServerContext* context, const v1::DownloadFileRequest* request,
                            grpc::ServerWriter<v1::DownloadFileResponse>* writer) override {
    const absl::Status status = Download(*request, *writer);
    return status.ok() ? grpc::Status::OK : Refuse(status, *context);
  }

  grpc::Status DeleteFile(grpc::ServerContext* context, const v1::DeleteFileRequest* request,
                          v1::DeleteFileResponse* response) override {
    if (absl::Status path = CheckPath("path", request->path()); !path.ok()) return Refuse(path, *context);
    const absl::StatusOr<std::shared_ptr<Session>> session = table_.Find(request->owner(), request->session_id());
    if (!session.ok()) return Refuse(session.status(), *context);
    const absl::StatusOr<bool> existed = (*session)->RemoveFile(request->path());
    if (!existed.ok()) return Refuse(existed.status(), *context);
    response->set_existed(*existed);
    return grpc::Status::OK;
  }

  grpc::Status ExportWorkspace(grpc::ServerContext* context, const v1::ExportWorkspaceRequest* request,
                               grpc::ServerWriter<v1::ExportWorkspaceResponse>* writer) override {
    const absl::StatusOr<std::shared_ptr<Session>> session = table_.Find(request->owner(), request->session_id());
    if (!session.ok()) return Refuse(session.status(), *context);
    v1::ExportWorkspaceResponse response;
    std::string gathered;
    const auto send = [&] {
      response.set_data(std::exchange(gathered, {}));
      return writer->Write(response) ? absl::OkStatus() : absl::CancelledError("cancelled while exporting");
    };
    const absl::StatusOr<ArchiveSummary> summary = (*session)->ExportWorkspace([&](std::string_view bytes) {
      gathered.append(bytes);
      return gathered.size() < kDownloadPieceBytes ? absl::OkStatus() : send();
    });
    if (!summary.ok()) return Refuse(summary.status(), *context);
    if (const absl::Status sent = send(); !sent.ok()) return Refuse(sent, *context);
    *response.mutable_summary() = ToProto(*summary);
    writer->Write(response);
    return grpc::Status::OK;
  }

  grpc::Status ImportWorkspace(grpc::ServerContext* context, grpc::ServerReader<v1::ImportWorkspaceRequest>* reader,
                               v1::ImportWorkspaceResponse* response) override {
    const absl::StatusOr<ArchiveSummary> summary = Import(*context, *reader);
    if (!summary.ok()) return Refuse(summary.status(), *context);
    *response->mutable_summary() = ToProto(*summary);
    return grpc::Status::OK;
  }

  grpc::Status GetCapabilities(grpc::ServerContext* /*context*/, const v1::GetCapabilitiesRequest* /*request*/,
                               v1::Capabilities* response) override {
    const sandbox::JailReport report = table_.jails().report();
    response->set_version(options_.version);
    response->set_isolation(report.tier);
    for (const sandbox::LayerState& layer : report.layers) *response->add_layers() = ToProto(layer);
    response->set_default_runtime(table_.options().default_runtime);
    for (const sandbox::PolicyInfo& policy : table_.Runtimes()) {
      const v1::Runtime& runtime = AddRuntime(policy, *response);
      if (policy.name != table_.options().default_runtime) continue;
      *response->mutable_defaults() = runtime.defaults();
      *response->mutable_maxima() = runtime.maxima();
    }
    response->set_sessions_max(table_.options().sessions_max);
    response->set_sessions(table_.size());
    return grpc::Status::OK;
  }

  grpc::Status GetStatistics(grpc::ServerContext* /*context*/, const v1::GetStatisticsRequest* /*request*/,
                             v1::Statistics* response) override {
    for (const StepSummary& summary : table_.statistics().Steps()) *response->add_steps() = ToProto(summary);
    for (size_t i = 0; i < static_cast<size_t>(Event::kEventsMax); ++i) {
      const auto event = static_cast<Event>(i);
      (*response->mutable_events())[std::string(EventName(event))] = table_.statistics().Total(event);
    }
    response->set_sessions(table_.size());
    response->set_waiting(table_.waiting());
    response->set_pool_ready(table_.pool().ready());
    response->set_pool_memory_bytes(table_.pool().memory_bytes());
    return grpc::Status::OK;
  }

 private:
  static grpc::Status Refuse(const absl::Status& status, grpc::ServerContext& context) {
    return rpc::ToGrpc(WithDetail(status), context);
  }

  const v1::Runtime& AddRuntime(const sandbox::PolicyInfo& policy, v1::Capabilities& response) const {
    v1::Runtime& runtime = *response.add_runtimes();
    runtime.set_name(policy.name);
    runtime.set_ready(policy.ready);
    *runtime.mutable_defaults() = ToProto(DefaultLimits(policy, table_.options().default_limits));
    *runtime.mutable_maxima() = ToProto(MaximumLimits(policy));
    for (const RuntimeInfo& info : options_.runtimes) {
      if (info.name != policy.name) continue;
      runtime.set_description(info.description);
      runtime.set_version(info.version);
      for (const auto& [package, version] : info.packages) (*runtime.mutable_packages())[package] = version;
    }
    return runtime;
  }

  absl::StatusOr<ArchiveSummary> Import(grpc::ServerContext& context,
                                        grpc::ServerReader<v1::ImportWorkspaceRequest>& reader) {
    v1::ImportWorkspaceRequest part;
    if (!reader.Read(&part) || !part.has_header()) {
      return InvalidField("part", "missing", "a header as the first message");
    }
    const v1::ImportWorkspaceHeader header = std::move(*part.mutable_header());
    const absl::StatusOr<std::shared_ptr<Session>> session = table_.Find(header.owner(), header.session_id());
    if (!session.ok()) return session.status();
    const uint64_t bytes_max = (*session)->limits().workspace_bytes + kArchiveOverheadMax;
    absl::StatusOr<Spool> spool = Spool::Open(options_.spool_dir);
    if (!spool.ok()) return spool.status();
    while (reader.Read(&part)) {
      if (!part.has_data()) return InvalidField("part", "a second header", "data after the header");
      if (absl::Status added = AddTo(*spool, part.data(), bytes_max); !added.ok()) return added;
    }
    if (context.IsCancelled()) return absl::CancelledError("cancelled while importing");
    const uint64_t size = spool->size_bytes();
    const absl::StatusOr<UniqueFd> archive = (*std::move(spool)).Rewind();
    if (!archive.ok()) return archive.status();
    return (*session)->ImportWorkspace(archive->get(), size, header.replace());
  }

  static absl::Status AddTo(Spool& spool, const std::string& data, uint64_t bytes_max) {
    if (data.size() > kDataBytesMax) {
      return InvalidField("data", StrCat(data.size(), " bytes"), "at most 1048576 bytes a message");
    }
    if (spool.size_bytes() + data.size() > bytes_max) {
      return absl::ResourceExhaustedError(StrCat("over the ", bytes_max, " bytes that fit into the workspace"));
    }
    return spool.Append(data);
  }

  absl::StatusOr<WorkspaceFile> Upload(grpc::ServerContext& context,
                                       grpc::ServerReader<v1::UploadFileRequest>& reader) {
    v1::UploadFileRequest part;
    if (!reader.Read(&part) || !part.has_header()) {
      return InvalidField("part", "missing", "a header as the first message");
    }
    const v1::UploadFileHeader header = std::move(*part.mutable_header());
    if (absl::Status path = CheckPath("header.path", header.path()); !path.ok()) return path;
    const absl::StatusOr<std::shared_ptr<Session>> session = table_.Find(header.owner(), header.session_id());
    if (!session.ok()) return session.status();
    const uint64_t bytes_max = (*session)->limits().workspace_bytes;
    if (header.size_bytes() > bytes_max) {
      return absl::ResourceExhaustedError(StrCat("the file does not fit the workspace of ", bytes_max, " bytes"));
    }
    absl::StatusOr<Spool> spool = Spool::Open(options_.spool_dir);
    if (!spool.ok()) return spool.status();
    while (reader.Read(&part)) {
      if (!part.has_data()) return InvalidField("part", "a second header", "data after the header");
      if (absl::Status added = AddTo(*spool, part.data(), bytes_max); !added.ok()) return added;
    }
    // A client that went away in the middle has not finished its file.
    if (context.IsCancelled()) return absl::CancelledError("cancelled while uploading");
    if (header.size_bytes() != 0 && header.size_bytes() != spool->size_bytes()) {
      return InvalidField("header.size_bytes", StrCat(header.size_bytes()),
                          StrCat("the ", spool->size_bytes(), " bytes that came"));
    }
    absl::StatusOr<UniqueFd> whole = (*std::move(spool)).Rewind();
    if (!whole.ok()) return whole.status();
    return (*session)->WriteFile(header.path(), *std::move(whole), header.replace());
  }

  absl::Status Download(const v1::DownloadFileRequest& request, grpc::ServerWriter<v1::DownloadFileResponse>& writer) {
    if (absl::Status path = CheckPath("path", request.path()); !path.ok()) return path;
    const absl::StatusOr<std::shared_ptr<Session>> session = table_.Find(request.owner(), request.session_id());
    if (!session.ok()) return session.status();
    const absl::StatusOr<Session::OpenFile> opened = (*session)->OpenRead(request.path());
    if (!opened.ok()) return opened.status();
    v1::DownloadFileResponse response;
    *response.mutable_file() = ToProto(opened->file);
    if (!writer.Write(response)) return absl::CancelledError("cancelled while downloading");
    uint64_t left = opened->file.size_bytes;
    for (uint64_t offset = 0; left > 0;) {
      std::string piece(std::min<uint64_t>(left, kDownloadPieceBytes), '\0');
      const ssize_t count =
          TEMP_FAILURE_RETRY(::pread(opened->fd.get(), piece.data(), piece.size(), static_cast<off_t>(offset)));
      if (count < 0) return absl::InternalError(StrCat("reading the file: ", ::strerror(errno)));
      if (count == 0) return absl::AbortedError("the file became shorter while it was read");
      piece.resize(static_cast<size_t>(count));
      offset += static_cast<uint64_t>(count);
      left -= static_cast<uint64_t>(count);
      response.set_data(std::move(piece));
      if (!writer.Write(response)) return absl::CancelledError("cancelled while downloading");
    }
    return absl::OkStatus();
  }

  const ServiceOptions options_;
  SessionTable& table_;
};

}  // namespace

std::unique_ptr<v1::CodeInterpreter::Service> MakeCodeInterpreterService(ServiceOptions options, SessionTable& table) {
  return std::make_unique<ServiceImpl>(std::move(options), table);
}

}  // namespace carrel::interpreter
