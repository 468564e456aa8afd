#include "gateway/backends/interpreter_code_tool.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "carrel/interpreter/v1/code_interpreter.grpc.pb.h"
#include "gateway/messages/interpreter.h"
#include "gateway/types/status_macros.h"
#include "rpc/status.h"

namespace carrel::gateway {
namespace {

namespace pb = carrel::interpreter::v1;

constexpr std::size_t kPieceBytes = 256 * 1024;
constexpr absl::Duration kShortCall = absl::Seconds(30);

// What the caller's CodeCall and the worker share.
class CallState final {
 public:
  explicit CallState(std::shared_ptr<CodeListener> listener) : listener_(std::move(listener)) {}

  void Logs(std::string piece) {
    const std::lock_guard lock(telling_);
    if (listener_ != nullptr) listener_->OnLogs(std::move(piece));
  }
  void End(absl::StatusOr<CodeResult> result) {
    const std::lock_guard lock(telling_);
    if (listener_ != nullptr) listener_->OnEnd(std::move(result));
    listener_ = nullptr;
  }
  // Nothing is told any more; what is going on is cancelled.
  void Cancel() {
    {
      const std::lock_guard lock(telling_);
      listener_ = nullptr;
    }
    const std::lock_guard lock(calling_);
    cancelled_ = true;
    changed_.notify_all();
    if (context_ != nullptr) context_->TryCancel();
  }
  // false: cancelled meanwhile.
  bool Sleep(absl::Duration pause) {
    std::unique_lock lock(calling_);
    return !changed_.wait_for(lock, absl::ToChronoNanoseconds(pause), [this] { return cancelled_; });
  }
  // Around each RPC. False: cancelled; do not begin.
  bool Begin(grpc::ClientContext& context) {
    const std::lock_guard lock(calling_);
    if (!cancelled_) context_ = &context;
    return !cancelled_;
  }
  void Finish() {
    const std::lock_guard lock(calling_);
    context_ = nullptr;
  }

 private:
  std::mutex telling_;
  std::shared_ptr<CodeListener> listener_;
  std::mutex calling_;
  std::condition_variable changed_;
  grpc::ClientContext* context_ = nullptr;
  bool cancelled_ = false;
};

// One RPC of a call that can be cancelled.
class Rpc final {
 public:
  Rpc(CallState& call, absl::Duration timeout) : call_(call) {
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    begun_ = call_.Begin(context);
  }
  ~Rpc() { call_.Finish(); }
  Rpc(const Rpc&) = delete;
  Rpc& operator=(const Rpc&) = delete;

  bool begun() const { return begun_; }
  absl::Status Result(const grpc::Status& status) const {
    return status.ok() ? absl::OkStatus() : rpc::FromGrpc(status, context);
  }

  grpc::ClientContext context;

 private:
  CallState& call_;
  bool begun_;
};

absl::Status Cancelled() { return absl::CancelledError("cancelled"); }

// How the code ended, for the user and the model; empty when well.
std::string EndingText(const pb::Outcome& outcome) {
  switch (outcome.kind()) {
    case pb::COMPLETED:
      return "";
    case pb::RAISED:
      return outcome.exception().traceback().empty()
                 ? absl::StrCat(outcome.exception().name(), ": ", outcome.exception().value())
                 : outcome.exception().traceback();
    default:
      return outcome.message();
  }
}

// The text of a display that has one and is no picture.
std::string DisplayText(const pb::Display& display) {
  const auto text = display.data().find("text/plain");
  return text == display.data().end() ? "" : text->second;
}

const char* const kImageTypes[] = {"image/png", "image/jpeg"};

// Between two tries for a session of a full interpreter.
constexpr absl::Duration kFullPause = absl::Milliseconds(20);
constexpr absl::Duration kFullPauseMax = absl::Milliseconds(500);

class Execution final {
 public:
  Execution(pb::CodeInterpreter::StubInterface& stub, FileStore& files, const CodeToolOptions& options, CallState& call,
            const CodeRequest& request)
      : stub_(stub), files_(files), options_(options), call_(call), request_(request) {}

  // The session's creation time tells whether it is the one that was known.
  struct Found {
    int64_t created_at_ms = 0;
    bool is_successor = false;  // nothing has run in it yet, and one of its name was there before
  };
  absl::StatusOr<Found> EnsureSession() {
    const absl::Time give_up = absl::Now() + options_.session_wait_max;
    absl::Duration pause = kFullPause;
    bool replaced = false;
    for (;;) {
      Rpc create(call_, kShortCall);
      if (!create.begun()) return Cancelled();
      pb::CreateSessionRequest message;
      message.set_owner(request_.project.value);
      message.set_session_id(request_.container.value);
      pb::Session session;
      const absl::Status created = create.Result(stub_.CreateSession(&create.context, message, &session));
      if (absl::IsResourceExhausted(created) && absl::Now() < give_up) {
        if (EvictOldest()) continue;
        if (!call_.Sleep(pause)) return Cancelled();
        pause = std::min(pause * 2, kFullPauseMax);
        continue;
      }
      if (!created.ok()) return created;
      if (session.state() != pb::SESSION_STATE_DEAD || replaced) {
        return Found{.created_at_ms = session.created_at_ms(),
                     .is_successor = session.calls() == 0 && !session.predecessor().empty()};
      }
      GATEWAY_RETURN_IF_ERROR(DeleteSession(request_.container.value).status());
      replaced = true;
    }
  }

  // Gives up the container of the project that has rested longest, as its idle time-out would have done later: a thread
  // that goes on must not wait for others that will perhaps never be used again. false: all of them are at work, or
  // another call was faster.
  bool EvictOldest() {
    Rpc list(call_, kShortCall);
    if (!list.begun()) return false;
    pb::ListSessionsRequest message;
    message.set_owner(request_.project.value);
    pb::ListSessionsResponse reply;
    if (!list.Result(stub_.ListSessions(&list.context, message, &reply)).ok()) return false;
    const pb::Session* oldest = nullptr;
    for (const pb::Session& session : reply.sessions()) {
      if (session.state() == pb::SESSION_STATE_BUSY || session.session_id() == request_.container.value) continue;
      if (oldest == nullptr || session.last_used_at_ms() < oldest->last_used_at_ms()) oldest = &session;
    }
    if (oldest == nullptr) return false;
    const auto existed = DeleteSession(oldest->session_id());
    return existed.ok() && *existed;
  }

  // Whether it was there.
  absl::StatusOr<bool> DeleteSession(const std::string& id) {
    Rpc remove(call_, kShortCall);
    if (!remove.begun()) return Cancelled();
    pb::DeleteSessionRequest message;
    message.set_owner(request_.project.value);
    message.set_session_id(id);
    pb::DeleteSessionResponse reply;
    GATEWAY_RETURN_IF_ERROR(remove.Result(stub_.DeleteSession(&remove.context, message, &reply)));
    return reply.existed();
  }

  absl::Status Upload(const CodeFile& file) {
    GATEWAY_ASSIGN_OR_RETURN(const std::unique_ptr<BlobReader> reader, files_.Open(file.blob.sha256));
    Rpc upload(call_, options_.call_max);
    if (!upload.begun()) return Cancelled();
    pb::File reply;
    const auto writer = stub_.UploadFile(&upload.context, &reply);
    pb::UploadFileRequest message;
    pb::UploadFileHeader& header = *message.mutable_header();
    header.set_owner(request_.project.value);
    header.set_session_id(request_.container.value);
    header.set_path(file.path);
    header.set_size_bytes(file.blob.size_bytes);
    header.set_replace(true);
    bool open = writer->Write(message);
    std::string piece(kPieceBytes, '\0');
    while (open) {
      const auto got = reader->Read(piece);
      if (!got.ok()) {
        upload.context.TryCancel();
        (void)writer->Finish();  // cancelled; the reader's error is the cause
        return got.status();
      }
      if (*got == 0) break;
      message.set_data(piece.data(), *got);
      open = writer->Write(message);
    }
    writer->WritesDone();
    return upload.Result(writer->Finish());
  }

  absl::StatusOr<CodeResult> Execute() {
    Rpc execute(call_, options_.call_max);
    if (!execute.begun()) return Cancelled();
    pb::ExecuteRequest message;
    message.set_owner(request_.project.value);
    message.set_session_id(request_.container.value);
    message.set_code(request_.code);
    message.set_return_files(pb::RETURN_FILES_REFERENCES);
    const auto reader = stub_.Execute(&execute.context, message);
    pb::ExecuteEvent event;
    bool finished = false;
    absl::Status taken;
    while (reader->Read(&event)) {
      if (taken.ok()) taken = Take(event);
      finished |= event.has_finished();
    }
    GATEWAY_RETURN_IF_ERROR(execute.Result(reader->Finish()));
    GATEWAY_RETURN_IF_ERROR(taken);
    if (!finished) return absl::InternalError("the interpreter did not say how the code ended");
    return std::move(result_);
  }

  // The code has begun: another try would run it twice.
  bool started() const { return started_; }

  absl::Status FetchArtifacts(CodeResult& result) {
    for (const pb::Artifact& artifact : artifacts_) {
      if (artifact.size_bytes() > options_.file_bytes_max) {
        absl::StrAppend(&result.text, "\n[", artifact.path(), " is too large to be kept.]");
        continue;
      }
      GATEWAY_ASSIGN_OR_RETURN(StoredBlob stored, Download(artifact.path()));
      result.files.push_back(
          {.path = artifact.path(), .media_type = artifact.media_type(), .stored = std::move(stored)});
    }
    return absl::OkStatus();
  }

 private:
  void Print(std::string text) {
    result_.text += text;
    call_.Logs(std::move(text));
  }

  void PrintLine(const std::string& text) {
    if (text.empty()) return;
    std::string line;
    if (!result_.text.empty() && result_.text.back() != '\n') line += '\n';
    line += text;
    if (line.back() != '\n') line += '\n';
    Print(std::move(line));
  }

  absl::Status Take(pb::ExecuteEvent& event) {
    switch (event.event_case()) {
      case pb::ExecuteEvent::kStdout:
        Print(std::move(*event.mutable_stdout()));
        break;
      case pb::ExecuteEvent::kStderr:
        Print(std::move(*event.mutable_stderr()));
        break;
      case pb::ExecuteEvent::kDisplay:
        return TakeDisplay(event.display());
      case pb::ExecuteEvent::kArtifact:
        artifacts_.push_back(std::move(*event.mutable_artifact()));
        break;
      case pb::ExecuteEvent::kFinished: {
        const pb::Outcome& outcome = event.finished();
        result_.ending = FromProto(outcome);
        // It stands in the text; every step would keep it twice.
        if (result_.ending.exception.has_value()) result_.ending.exception->traceback.clear();
        result_.state_lost = !outcome.state_kept();
        PrintLine(EndingText(outcome));
        break;
      }
      case pb::ExecuteEvent::kStarted:
        started_ = true;
        break;
      case pb::ExecuteEvent::EVENT_NOT_SET:
        break;
    }
    return absl::OkStatus();
  }

  absl::Status TakeDisplay(const pb::Display& display) {
    for (const char* const type : kImageTypes) {
      const auto image = display.data().find(type);
      if (image == display.data().end()) continue;
      if (result_.images.size() >= options_.images_max) {
        PrintLine("[Another picture is not shown: there are too many.]");
        return absl::OkStatus();
      }
      GATEWAY_ASSIGN_OR_RETURN(const std::unique_ptr<BlobWriter> writer, files_.Create(options_.file_bytes_max));
      GATEWAY_RETURN_IF_ERROR(writer->Append(image->second));
      GATEWAY_ASSIGN_OR_RETURN(StoredBlob stored, writer->Finish());
      result_.images.push_back({.path = absl::StrCat("image-", result_.images.size() + 1,
                                                     std::string_view(type) == "image/png" ? ".png" : ".jpg"),
                                .media_type = type,
                                .stored = std::move(stored)});
      return absl::OkStatus();
    }
    PrintLine(DisplayText(display));
    return absl::OkStatus();
  }

  absl::StatusOr<StoredBlob> Download(const std::string& path) {
    GATEWAY_ASSIGN_OR_RETURN(const std::unique_ptr<BlobWriter> writer, files_.Create(options_.file_bytes_max));
    Rpc download(call_, options_.call_max);
    if (!download.begun()) return Cancelled();
    pb::DownloadFileRequest message;
    message.set_owner(request_.project.value);
    message.set_session_id(request_.container.value);
    message.set_path(path);
    const auto reader = stub_.DownloadFile(&download.context, message);
    pb::DownloadFileResponse part;
    absl::Status written;
    while (reader->Read(&part)) {
      if (written.ok() && part.has_data()) written = writer->Append(part.data());
      if (!written.ok()) download.context.TryCancel();
    }
    const grpc::Status status = reader->Finish();
    GATEWAY_RETURN_IF_ERROR(written);
    GATEWAY_RETURN_IF_ERROR(download.Result(status));
    return writer->Finish();
  }

  pb::CodeInterpreter::StubInterface& stub_;
  FileStore& files_;
  const CodeToolOptions& options_;
  CallState& call_;
  const CodeRequest& request_;
  CodeResult result_;
  std::vector<pb::Artifact> artifacts_;
  bool started_ = false;
};

class InterpreterCodeTool final : public CodeTool {
 public:
  InterpreterCodeTool(std::shared_ptr<grpc::Channel> channel, FileStore& files, CodeToolOptions options)
      : stub_(pb::CodeInterpreter::NewStub(std::move(channel))), files_(files), options_(options) {}

  ~InterpreterCodeTool() override {
    std::vector<std::shared_ptr<CallState>> calls;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      queue_.clear();
      calls.assign(active_.begin(), active_.end());
      changed_.notify_all();
    }
    for (const auto& call : calls) call->Cancel();
    for (std::thread& thread : threads_) thread.join();
  }

  std::unique_ptr<CodeCall> Start(CodeRequest request, std::shared_ptr<CodeListener> listener) override {
    auto state = std::make_shared<CallState>(std::move(listener));
    const std::lock_guard lock(mutex_);
    queue_.push_back({.request = std::move(request), .state = state});
    // A thread more while all are busy.
    if (idle_ < queue_.size() && threads_.size() < options_.calls_max) threads_.emplace_back([this] { Work(); });
    changed_.notify_one();
    return std::make_unique<Call>(std::move(state));
  }

  absl::Status Delete(const ProjectId& project, const ContainerId& container) override {
    {
      const std::lock_guard lock(mutex_);
      containers_.erase(container);
    }
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kShortCall));
    pb::DeleteSessionRequest message;
    message.set_owner(project.value);
    message.set_session_id(container.value);
    pb::DeleteSessionResponse reply;
    const grpc::Status status = stub_->DeleteSession(&context, message, &reply);
    return status.ok() ? absl::OkStatus() : rpc::FromGrpc(status, context);
  }

 private:
  class Call final : public CodeCall {
   public:
    explicit Call(std::shared_ptr<CallState> state) : state_(std::move(state)) {}
    ~Call() override { state_->Cancel(); }

   private:
    std::shared_ptr<CallState> state_;
  };
  struct Waiting {
    CodeRequest request;
    std::shared_ptr<CallState> state;
  };
  // What is known of a container: which session it was, and which bytes are at which path.
  struct Container {
    int64_t created_at_ms = 0;
    std::map<std::string, std::string> files;
  };
  static constexpr std::size_t kContainersMax = 10'000;

  void Work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      --idle_;
      if (stopping_) return;
      Waiting waiting = std::move(queue_.front());
      queue_.pop_front();
      active_.push_back(waiting.state);
      lock.unlock();
      waiting.state->End(Run(waiting.request, *waiting.state));
      lock.lock();
      std::erase(active_, waiting.state);
    }
  }

  // How often a session that ended between two of our calls (idle for too long, given up for another thread) is made
  // anew before the call is given up.
  static constexpr int kSessionsMax = 3;

  absl::StatusOr<CodeResult> Run(const CodeRequest& request, CallState& call) {
    bool state_lost = false;
    for (int attempt = 1;; ++attempt) {
      Execution execution(*stub_, files_, options_, call, request);
      auto result = RunOnce(execution, request, state_lost);
      const bool gone = absl::IsFailedPrecondition(result.status()) || absl::IsNotFound(result.status());
      if (gone && attempt < kSessionsMax && !execution.started()) continue;
      if (absl::IsUnavailable(result.status())) return Unreachable(execution, result.status());
      if (result.ok()) result->state_lost |= state_lost;
      return result;
    }
  }

  absl::StatusOr<CodeResult> RunOnce(Execution& execution, const CodeRequest& request, bool& state_lost) {
    GATEWAY_ASSIGN_OR_RETURN(const auto session, execution.EnsureSession());
    Container container = Known(request.container);
    const bool is_new = container.created_at_ms != session.created_at_ms;
    // What we knew is gone; or we were restarted and know nothing, and the interpreter remembers.
    state_lost |= is_new && (container.created_at_ms != 0 || session.is_successor);
    if (is_new) container = {.created_at_ms = session.created_at_ms};
    for (const CodeFile& file : request.files) {
      if (const auto there = container.files.find(file.path);
          there != container.files.end() && there->second == file.blob.sha256) {
        continue;
      }
      GATEWAY_RETURN_IF_ERROR(execution.Upload(file));
      container.files[file.path] = file.blob.sha256;
    }
    Remember(request.container, std::move(container));
    GATEWAY_ASSIGN_OR_RETURN(CodeResult result, execution.Execute());
    GATEWAY_RETURN_IF_ERROR(execution.FetchArtifacts(result));
    return result;
  }

  // For whoever reads why a run failed.
  static absl::Status Unreachable(const Execution& execution, const absl::Status& why) {
    return absl::UnavailableError(
        execution.started()
            ? absl::StrCat("the code interpreter went away while the code ran, and what it had done is lost (",
                           why.message(), ")")
            : absl::StrCat("the code interpreter cannot be reached; is it running? (", why.message(), ")"));
  }

  Container Known(const ContainerId& id) {
    const std::lock_guard lock(mutex_);
    const auto found = containers_.find(id);
    return found == containers_.end() ? Container{} : found->second;
  }
  void Remember(const ContainerId& id, Container container) {
    const std::lock_guard lock(mutex_);
    // Forgetting only means to hand the files over again.
    if (containers_.size() >= kContainersMax) containers_.clear();
    containers_[id] = std::move(container);
  }

  const std::unique_ptr<pb::CodeInterpreter::Stub> stub_;
  FileStore& files_;
  const CodeToolOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Waiting> queue_;
  std::vector<std::shared_ptr<CallState>> active_;
  std::map<ContainerId, Container> containers_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<CodeTool> MakeInterpreterCodeTool(std::shared_ptr<grpc::Channel> channel, FileStore& files,
                                                  CodeToolOptions options) {
  return std::make_unique<InterpreterCodeTool>(std::move(channel), files, options);
}

}  // namespace carrel::gateway
