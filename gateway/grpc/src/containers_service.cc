#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "caller.h"
#include "carrel/gateway/v1/containers.grpc.pb.h"
#include "gateway/messages/interpreter.h"
#include "gateway/types/error.h"
#include "gateway/types/status_macros.h"
#include "services.h"

namespace carrel::gateway {
namespace {

namespace code = carrel::interpreter::v1;

constexpr std::size_t kPieceBytes = 256 * 1024;
constexpr std::size_t kDataBytesMax = std::size_t{1} << 20;
constexpr uint32_t kListDefault = 20;
constexpr uint32_t kListMax = 100;
// How often a call that says nothing looks whether its caller has gone.
constexpr absl::Duration kLook = absl::Milliseconds(100);

absl::Status CallerGone() { return absl::CancelledError("the caller has gone"); }

v1::Container ToProto(const ContainerState& state) {
  v1::Container out;
  out.set_container_id(state.container.id.value);
  out.set_name(state.container.name);
  out.set_created_at_ms(absl::ToUnixMillis(state.container.created_at));
  out.set_last_used_at_ms(absl::ToUnixMillis(state.container.last_active_at));
  out.set_runtime(state.container.runtime);
  out.set_created(state.created);
  if (!state.live.has_value()) return out;
  const LiveContainer& live = *state.live;
  out.set_runtime(live.runtime);
  out.set_state(ToProto(live.state));
  out.set_death_reason(live.death_reason);
  *out.mutable_limits() = ToProto(live.limits);
  out.set_idle_timeout_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(live.idle_timeout)));
  out.set_last_used_at_ms(absl::ToUnixMillis(live.last_used_at));
  out.set_calls(live.calls);
  out.set_isolation(live.isolation);
  return out;
}

absl::StatusOr<ReturnFiles> FromProto(code::ReturnFiles return_files) {
  switch (return_files) {
    case code::RETURN_FILES_UNSPECIFIED:
    case code::RETURN_FILES_REFERENCES:
      return ReturnFiles::kReferences;
    case code::RETURN_FILES_NONE:
      return ReturnFiles::kNone;
    case code::RETURN_FILES_BYTES:
      return ReturnFiles::kBytes;
    default:
      return rpc::InvalidField("return_files", absl::StrCat(static_cast<int>(return_files)), "0 to 3");
  }
}

// Data as they come in, after the header of an upload or an import.
template <typename Request>
class DataReader final : public BlobReader {
 public:
  DataReader(grpc::ServerContext& context, grpc::ServerReader<Request>& reader, uint64_t size_bytes)
      : context_(context), reader_(reader), size_bytes_(size_bytes) {}

  uint64_t size_bytes() const override { return size_bytes_; }
  absl::StatusOr<size_t> Read(std::span<char> buffer) override {
    while (at_ == piece_.size()) {
      Request part;
      if (!reader_.Read(&part)) {
        // A client that went away in the middle has not finished its file.
        if (context_.IsCancelled()) return CallerGone();
        return size_t{0};
      }
      if (!part.has_data()) return rpc::InvalidField("part", "a second header", "data after the header");
      if (part.data().size() > kDataBytesMax) {
        return rpc::InvalidField("data", absl::StrCat(part.data().size(), " bytes"), "at most 1048576 bytes a message");
      }
      piece_ = std::move(*part.mutable_data());
      at_ = 0;
    }
    const size_t count = std::min(buffer.size(), piece_.size() - at_);
    std::copy_n(piece_.data() + at_, count, buffer.data());
    at_ += count;
    return count;
  }

 private:
  grpc::ServerContext& context_;
  grpc::ServerReader<Request>& reader_;
  const uint64_t size_bytes_;
  std::string piece_;
  size_t at_ = 0;
};

class ContainersService final : public v1::Containers::Service {
 public:
  explicit ContainersService(const FrontPorts& ports) : keys_(ports.keys), containers_(ports.containers) {}

  grpc::Status CreateContainer(grpc::ServerContext* context, const v1::CreateContainerRequest* request,
                               v1::Container* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(
          const ContainerState state,
          containers_.Open(project, {.name = request->name(),
                                     .runtime = request->runtime(),
                                     .limits = gateway::FromProto(request->limits()),
                                     .idle_ms = static_cast<int64_t>(request->idle_timeout_ms())}));
      *response = ToProto(state);
      return absl::OkStatus();
    });
  }

  grpc::Status GetContainer(grpc::ServerContext* context, const v1::GetContainerRequest* request,
                            v1::Container* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(const ContainerState state,
                               containers_.Get(project, ContainerId(request->container_id())));
      *response = ToProto(state);
      return absl::OkStatus();
    });
  }

  grpc::Status ListContainers(grpc::ServerContext* context, const v1::ListContainersRequest* request,
                              v1::ListContainersResponse* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(const PageRequest page,
                               PageOf(request->limit(), request->after(), kListDefault, kListMax));
      GATEWAY_ASSIGN_OR_RETURN(const Page<ContainerState> found,
                               containers_.List(project, {.name = request->name()}, page));
      for (const ContainerState& state : found.items) *response->add_containers() = ToProto(state);
      response->set_has_more(found.has_more);
      return absl::OkStatus();
    });
  }

  grpc::Status DeleteContainer(grpc::ServerContext* context, const v1::DeleteContainerRequest* request,
                               v1::DeleteContainerResponse* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      const absl::Status deleted = containers_.Delete(project, ContainerId(request->container_id()));
      response->set_existed(deleted.ok());
      return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
    });
  }

  grpc::Status Execute(grpc::ServerContext* context, const v1::ExecuteRequest* request,
                       grpc::ServerWriter<code::ExecuteEvent>* writer) override {
    return Serve(keys_, *context, [&](const ProjectId& project) { return Run(*context, project, *request, *writer); });
  }

  grpc::Status Interrupt(grpc::ServerContext* context, const v1::InterruptRequest* request,
                         code::InterruptResponse* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(const bool interrupted,
                               containers_.Interrupt(project, ContainerId(request->container_id())));
      response->set_interrupted(interrupted);
      return absl::OkStatus();
    });
  }

  grpc::Status UploadContainerFile(grpc::ServerContext* context,
                                   grpc::ServerReader<v1::UploadContainerFileRequest>* reader,
                                   code::File* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      v1::UploadContainerFileRequest first;
      if (!reader->Read(&first) || !first.has_header()) {
        return rpc::InvalidField("part", "missing", "a header as the first message");
      }
      const v1::UploadContainerFileHeader& header = first.header();
      DataReader source(*context, *reader, header.size_bytes());
      GATEWAY_ASSIGN_OR_RETURN(const ContainerFile file, containers_.Upload(project, ContainerId(header.container_id()),
                                                                            header.path(), header.replace(), source));
      *response = gateway::ToProto(file);
      return absl::OkStatus();
    });
  }

  grpc::Status ListContainerFiles(grpc::ServerContext* context, const v1::ListContainerFilesRequest* request,
                                  code::ListFilesResponse* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(const ContainerFiles files,
                               containers_.ListFiles(project, ContainerId(request->container_id())));
      *response = gateway::ToProto(files);
      return absl::OkStatus();
    });
  }

  grpc::Status DownloadContainerFile(grpc::ServerContext* context, const v1::DownloadContainerFileRequest* request,
                                     grpc::ServerWriter<code::DownloadFileResponse>* writer) override {
    return Serve(keys_, *context, [&](const ProjectId& project) { return Download(project, *request, *writer); });
  }

  grpc::Status ExportContainerFiles(grpc::ServerContext* context, const v1::ExportContainerFilesRequest* request,
                                    grpc::ServerWriter<code::ExportWorkspaceResponse>* writer) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      code::ExportWorkspaceResponse message;
      const auto send = [&](std::string_view piece) {
        message.set_data(piece.data(), piece.size());
        return writer->Write(message) ? absl::OkStatus() : CallerGone();
      };
      GATEWAY_ASSIGN_OR_RETURN(const WorkspaceSummary summary,
                               containers_.Export(project, ContainerId(request->container_id()), send));
      *message.mutable_summary() = gateway::ToProto(summary);
      return writer->Write(message) ? absl::OkStatus() : CallerGone();
    });
  }

  grpc::Status ImportContainerFiles(grpc::ServerContext* context,
                                    grpc::ServerReader<v1::ImportContainerFilesRequest>* reader,
                                    code::ImportWorkspaceResponse* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      v1::ImportContainerFilesRequest first;
      if (!reader->Read(&first) || !first.has_header()) {
        return rpc::InvalidField("part", "missing", "a header as the first message");
      }
      const v1::ImportContainerFilesHeader& header = first.header();
      DataReader source(*context, *reader, 0);
      GATEWAY_ASSIGN_OR_RETURN(
          const WorkspaceSummary summary,
          containers_.Import(project, ContainerId(header.container_id()), header.replace(), source));
      *response->mutable_summary() = gateway::ToProto(summary);
      return absl::OkStatus();
    });
  }

  grpc::Status DeleteContainerFile(grpc::ServerContext* context, const v1::DeleteContainerFileRequest* request,
                                   code::DeleteFileResponse* response) override {
    return Serve(keys_, *context, [&](const ProjectId& project) -> absl::Status {
      GATEWAY_ASSIGN_OR_RETURN(const bool existed,
                               containers_.DeleteFile(project, ContainerId(request->container_id()), request->path()));
      response->set_existed(existed);
      return absl::OkStatus();
    });
  }

 private:
  absl::Status Run(grpc::ServerContext& context, const ProjectId& project, const v1::ExecuteRequest& request,
                   grpc::ServerWriter<code::ExecuteEvent>& writer) {
    GATEWAY_ASSIGN_OR_RETURN(const ReturnFiles return_files, FromProto(request.return_files()));
    GATEWAY_ASSIGN_OR_RETURN(const std::unique_ptr<CodeRun> run,
                             containers_.Execute(project, {.container = ContainerId(request.container_id()),
                                                           .code = request.code(),
                                                           .limits = gateway::FromProto(request.limits()),
                                                           .return_files = return_files,
                                                           .runtime = request.runtime(),
                                                           .end_at_output_limit = request.end_at_output_limit(),
                                                           .save_figures = request.save_figures()}));
    while (!context.IsCancelled()) {
      GATEWAY_ASSIGN_OR_RETURN(std::optional<CodeEvent> event, run->Next(kLook));
      if (!event.has_value()) continue;
      const bool last = std::holds_alternative<Outcome>(*event);
      if (!writer.Write(gateway::ToProto(*std::move(event)))) return CallerGone();
      if (last) return absl::OkStatus();
    }
    return CallerGone();
  }

  absl::Status Download(const ProjectId& project, const v1::DownloadContainerFileRequest& request,
                        grpc::ServerWriter<code::DownloadFileResponse>& writer) {
    GATEWAY_ASSIGN_OR_RETURN(const ContainerHost::OpenFile opened,
                             containers_.Download(project, ContainerId(request.container_id()), request.path()));
    code::DownloadFileResponse message;
    *message.mutable_file() = gateway::ToProto(opened.file);
    bool open = writer.Write(message);
    std::string piece(kPieceBytes, '\0');
    while (open) {
      GATEWAY_ASSIGN_OR_RETURN(const std::size_t got, opened.reader->Read(piece));
      if (got == 0) return absl::OkStatus();
      message.set_data(piece.data(), got);
      open = writer.Write(message);
    }
    return CallerGone();
  }

  Keys& keys_;
  Containers& containers_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeContainersService(const FrontPorts& ports) {
  return std::make_unique<ContainersService>(ports);
}

}  // namespace carrel::gateway
