#include "gateway/backends/interpreter_container_host.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "carrel/interpreter/v1/code_interpreter.grpc.pb.h"
#include "gateway/messages/interpreter.h"
#include "gateway/types/status_macros.h"
#include "rpc/status.h"

namespace carrel::gateway {
namespace {

namespace pb = carrel::interpreter::v1;

constexpr std::size_t kPieceBytes = 256 * 1024;
// Events that nobody has taken; then the interpreter waits.
constexpr std::size_t kWaitingBytesMax = 4 << 20;

// One RPC with its deadline and its error.
struct Rpc {
  explicit Rpc(absl::Duration timeout) { context.set_deadline(absl::ToChronoTime(absl::Now() + timeout)); }
  absl::Status Result(const grpc::Status& status) const {
    return status.ok() ? absl::OkStatus() : rpc::FromGrpc(status, context);
  }
  grpc::ClientContext context;
};

// Reads the stream of a call on a thread of its own, so that who waits for events can look around meanwhile.
class StreamedRun final : public CodeRun {
 public:
  StreamedRun(pb::CodeInterpreter::Stub& stub, const pb::ExecuteRequest& request, absl::Duration timeout)
      : rpc_(timeout), reader_(stub.Execute(&rpc_.context, request)), thread_([this] { ReadAll(); }) {}

  ~StreamedRun() override {
    rpc_.context.TryCancel();
    {
      const std::lock_guard lock(mutex_);
      abandoned_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }

  absl::StatusOr<std::optional<CodeEvent>> Next(absl::Duration wait) override {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoNanoseconds(wait), [this] { return !events_.empty() || end_.has_value(); });
    if (!events_.empty()) {
      CodeEvent event = std::move(events_.front().event);
      bytes_ -= events_.front().bytes;
      events_.pop_front();
      changed_.notify_all();
      return std::optional<CodeEvent>(std::move(event));
    }
    if (!end_.has_value()) return std::optional<CodeEvent>();
    if (!end_->ok()) return *end_;
    return absl::InternalError("the interpreter did not say how the code ended");
  }

 private:
  struct Waiting {
    CodeEvent event;
    std::size_t bytes = 0;
  };

  void ReadAll() {
    pb::ExecuteEvent message;
    while (reader_->Read(&message)) {
      const std::size_t bytes = message.ByteSizeLong();
      std::optional<CodeEvent> event = FromProto(std::move(message));
      if (!event.has_value()) continue;
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return abandoned_ || bytes_ < kWaitingBytesMax; });
      if (abandoned_) break;
      bytes_ += bytes;
      events_.push_back({*std::move(event), bytes});
      changed_.notify_all();
    }
    absl::Status end = rpc_.Result(reader_->Finish());
    const std::lock_guard lock(mutex_);
    end_ = std::move(end);
    changed_.notify_all();
  }

  Rpc rpc_;
  const std::unique_ptr<grpc::ClientReader<pb::ExecuteEvent>> reader_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Waiting> events_;
  std::size_t bytes_ = 0;
  std::optional<absl::Status> end_;
  bool abandoned_ = false;
  std::thread thread_;  // last: it uses all of the above
};

class DownloadReader final : public BlobReader {
 public:
  DownloadReader(pb::CodeInterpreter::Stub& stub, const pb::DownloadFileRequest& request, absl::Duration timeout)
      : rpc_(timeout), reader_(stub.DownloadFile(&rpc_.context, request)) {}
  ~DownloadReader() override {
    if (finished_) return;
    rpc_.context.TryCancel();
    (void)reader_->Finish();  // nobody wants the rest
  }

  // The first message: before anything else.
  absl::StatusOr<ContainerFile> Open() {
    pb::DownloadFileResponse part;
    if (!reader_->Read(&part)) return Ended();
    if (!part.has_file()) return absl::InternalError("the interpreter sent bytes before the file's facts");
    file_ = FromProto(part.file());
    return file_;
  }

  uint64_t size_bytes() const override { return file_.size_bytes; }

  absl::StatusOr<size_t> Read(std::span<char> buffer) override {
    while (at_ == piece_.size()) {
      pb::DownloadFileResponse part;
      if (finished_) return size_t{0};
      if (!reader_->Read(&part)) {
        finished_ = true;
        GATEWAY_RETURN_IF_ERROR(rpc_.Result(reader_->Finish()));
        return size_t{0};
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
  absl::Status Ended() {
    finished_ = true;
    absl::Status status = rpc_.Result(reader_->Finish());
    return status.ok() ? absl::InternalError("the interpreter sent no file") : status;
  }

  Rpc rpc_;
  const std::unique_ptr<grpc::ClientReader<pb::DownloadFileResponse>> reader_;
  ContainerFile file_;
  std::string piece_;
  size_t at_ = 0;
  bool finished_ = false;
};

class InterpreterContainerHost final : public ContainerHost {
 public:
  InterpreterContainerHost(std::shared_ptr<grpc::Channel> channel, ContainerHostOptions options)
      : stub_(std::move(channel)), options_(options) {}

  absl::StatusOr<LiveContainer> Create(const ProjectId& project, const ContainerSpec& spec) override {
    Rpc call(options_.call_max);
    pb::CreateSessionRequest request;
    request.set_owner(project.value);
    request.set_session_id(spec.id.value);
    request.set_runtime(spec.runtime);
    *request.mutable_limits() = ToProto(spec.limits);
    request.set_idle_timeout_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(spec.idle_timeout)));
    pb::Session session;
    GATEWAY_RETURN_IF_ERROR(call.Result(stub_.CreateSession(&call.context, request, &session)));
    return FromProto(session);
  }

  absl::StatusOr<LiveContainer> Get(const ProjectId& project, const ContainerId& id) override {
    Rpc call(options_.call_max);
    pb::GetSessionRequest request;
    request.set_owner(project.value);
    request.set_session_id(id.value);
    pb::Session session;
    GATEWAY_RETURN_IF_ERROR(call.Result(stub_.GetSession(&call.context, request, &session)));
    return FromProto(session);
  }

  absl::StatusOr<std::vector<LiveContainer>> List(const ProjectId& project) override {
    Rpc call(options_.call_max);
    pb::ListSessionsRequest request;
    request.set_owner(project.value);
    pb::ListSessionsResponse reply;
    GATEWAY_RETURN_IF_ERROR(call.Result(stub_.ListSessions(&call.context, request, &reply)));
    std::vector<LiveContainer> containers;
    for (const pb::Session& session : reply.sessions()) containers.push_back(FromProto(session));
    return containers;
  }

  absl::StatusOr<bool> Delete(const ProjectId& project, const ContainerId& id) override {
    Rpc call(options_.call_max);
    pb::DeleteSessionRequest request;
    request.set_owner(project.value);
    request.set_session_id(id.value);
    pb::DeleteSessionResponse reply;
    GATEWAY_RETURN_IF_ERROR(call.Result(stub_.DeleteSession(&call.context, request, &reply)));
    return reply.existed();
  }

  absl::StatusOr<std::unique_ptr<CodeRun>> Execute(const ProjectId& project, const CodeCallRequest& wanted) override {
    pb::ExecuteRequest request;
    request.set_owner(project.value);
    request.set_session_id(wanted.container.value);
    request.set_code(wanted.code);
    request.set_runtime(wanted.runtime);
    request.set_return_files(ToProto(wanted.return_files));
    *request.mutable_limits() = ToProto(wanted.limits);
    request.set_end_at_output_limit(wanted.end_at_output_limit);
    request.set_save_figures(wanted.save_figures);
    return std::make_unique<StreamedRun>(stub_, request, options_.long_call_max);
  }

  absl::StatusOr<bool> Interrupt(const ProjectId& project, const ContainerId& id) override {
    Rpc call(options_.call_max);
    pb::InterruptRequest request;
    request.set_owner(project.value);
    request.set_session_id(id.value);
    pb::InterruptResponse reply;
    GATEWAY_RETURN_IF_ERROR(call.Result(stub_.Interrupt(&call.context, request, &reply)));
    return reply.interrupted();
  }

  absl::StatusOr<ContainerFile> Upload(const ProjectId& project, const ContainerId& id, const std::string& path,
                                       bool replace, BlobReader& source) override {
    Rpc call(options_.long_call_max);
    pb::File reply;
    const auto writer = stub_.UploadFile(&call.context, &reply);
    pb::UploadFileRequest message;
    pb::UploadFileHeader& header = *message.mutable_header();
    header.set_owner(project.value);
    header.set_session_id(id.value);
    header.set_path(path);
    header.set_size_bytes(source.size_bytes());
    header.set_replace(replace);
    GATEWAY_RETURN_IF_ERROR(SendAll(call, *writer, message, source));
    GATEWAY_RETURN_IF_ERROR(call.Result(writer->Finish()));
    return FromProto(reply);
  }

  absl::StatusOr<ContainerFiles> ListFiles(const ProjectId& project, const ContainerId& id) override {
    Rpc call(options_.call_max);
    pb::ListFilesRequest request;
    request.set_owner(project.value);
    request.set_session_id(id.value);
    pb::ListFilesResponse reply;
    GATEWAY_RETURN_IF_ERROR(call.Result(stub_.ListFiles(&call.context, request, &reply)));
    return FromProto(reply);
  }

  absl::StatusOr<OpenFile> Download(const ProjectId& project, const ContainerId& id, const std::string& path) override {
    pb::DownloadFileRequest request;
    request.set_owner(project.value);
    request.set_session_id(id.value);
    request.set_path(path);
    auto reader = std::make_unique<DownloadReader>(stub_, request, options_.long_call_max);
    GATEWAY_ASSIGN_OR_RETURN(ContainerFile file, reader->Open());
    return OpenFile{.file = std::move(file), .reader = std::move(reader)};
  }

  absl::StatusOr<WorkspaceSummary> Export(const ProjectId& project, const ContainerId& id,
                                          const ArchiveSink& sink) override {
    Rpc call(options_.long_call_max);
    pb::ExportWorkspaceRequest request;
    request.set_owner(project.value);
    request.set_session_id(id.value);
    const auto reader = stub_.ExportWorkspace(&call.context, request);
    std::optional<WorkspaceSummary> summary;
    pb::ExportWorkspaceResponse part;
    while (reader->Read(&part)) {
      if (part.has_summary()) summary = FromProto(part.summary());
      if (!part.has_data()) continue;
      if (absl::Status taken = sink(part.data()); !taken.ok()) {
        call.context.TryCancel();
        (void)reader->Finish();  // cancelled; the sink's error is the cause
        return taken;
      }
    }
    GATEWAY_RETURN_IF_ERROR(call.Result(reader->Finish()));
    if (!summary.has_value()) return absl::InternalError("the interpreter ended the archive without its summary");
    return *std::move(summary);
  }

  absl::StatusOr<WorkspaceSummary> Import(const ProjectId& project, const ContainerId& id, bool replace,
                                          BlobReader& source) override {
    Rpc call(options_.long_call_max);
    pb::ImportWorkspaceResponse reply;
    const auto writer = stub_.ImportWorkspace(&call.context, &reply);
    pb::ImportWorkspaceRequest message;
    pb::ImportWorkspaceHeader& header = *message.mutable_header();
    header.set_owner(project.value);
    header.set_session_id(id.value);
    header.set_replace(replace);
    GATEWAY_RETURN_IF_ERROR(SendAll(call, *writer, message, source));
    GATEWAY_RETURN_IF_ERROR(call.Result(writer->Finish()));
    return FromProto(reply.summary());
  }

  absl::StatusOr<bool> DeleteFile(const ProjectId& project, const ContainerId& id, const std::string& path) override {
    Rpc call(options_.call_max);
    pb::DeleteFileRequest request;
    request.set_owner(project.value);
    request.set_session_id(id.value);
    request.set_path(path);
    pb::DeleteFileResponse reply;
    GATEWAY_RETURN_IF_ERROR(call.Result(stub_.DeleteFile(&call.context, request, &reply)));
    return reply.existed();
  }

 private:
  // The header that `message` holds, then what `source` has. Whoever does not want it says why at Finish.
  template <typename Message>
  static absl::Status SendAll(Rpc& call, grpc::ClientWriter<Message>& writer, Message& message, BlobReader& source) {
    bool open = writer.Write(message);
    std::string piece(kPieceBytes, '\0');
    while (open) {
      const auto got = source.Read(piece);
      if (!got.ok()) {
        call.context.TryCancel();
        (void)writer.Finish();  // cancelled; the source's error is the cause
        return got.status();
      }
      if (*got == 0) break;
      message.set_data(piece.data(), *got);
      open = writer.Write(message);
    }
    writer.WritesDone();
    return absl::OkStatus();
  }

  pb::CodeInterpreter::Stub stub_;
  const ContainerHostOptions options_;
};

}  // namespace

std::unique_ptr<ContainerHost> MakeInterpreterContainerHost(std::shared_ptr<grpc::Channel> channel,
                                                            ContainerHostOptions options) {
  return std::make_unique<InterpreterContainerHost>(std::move(channel), options);
}

}  // namespace carrel::gateway
