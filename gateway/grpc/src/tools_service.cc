#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "caller.h"
#include "carrel/gateway/v1/tools.grpc.pb.h"
#include "gateway/messages/interpreter.h"
#include "gateway/messages/retrieval.h"
#include "gateway/tools/arguments.h"
#include "gateway/tools/definitions.h"
#include "gateway/tools/tool_text.h"
#include "gateway/types/error.h"
#include "gateway/types/status_macros.h"
#include "services.h"

namespace carrel::gateway {
namespace {

constexpr std::size_t kArgumentBytesMax = std::size_t{1} << 20;
constexpr int kFilesMax = 64;
constexpr int kStoresMax = 16;
constexpr uint32_t kResultsDefault = 20;
constexpr uint32_t kResultsMax = 50;
constexpr uint32_t kSearchNumberMax = 100'000;
// Logs that a slow reader has not taken; further ones are only in the result.
constexpr std::size_t kLogsWaitingMax = std::size_t{1} << 20;
// How often a call that says nothing looks whether its caller has gone.
constexpr absl::Duration kLook = absl::Milliseconds(100);

// What code says, until somebody takes it.
class Mailbox final : public CodeListener {
 public:
  void OnLogs(std::string piece) override {
    const std::lock_guard lock(mutex_);
    if (waiting_bytes_ + piece.size() > kLogsWaitingMax) return;
    waiting_bytes_ += piece.size();
    logs_.push_back(std::move(piece));
    changed_.notify_one();
  }
  void OnEnd(absl::StatusOr<CodeResult> result) override {
    const std::lock_guard lock(mutex_);
    result_.emplace(std::move(result));
    changed_.notify_one();
  }
  // Waits at most `wait` for something; what has come is taken.
  void Take(absl::Duration wait, std::deque<std::string>& logs, std::optional<absl::StatusOr<CodeResult>>& result) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoNanoseconds(wait), [this] { return !logs_.empty() || result_.has_value(); });
    logs.swap(logs_);
    logs_.clear();
    waiting_bytes_ = 0;
    result.swap(result_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> logs_;
  std::size_t waiting_bytes_ = 0;
  std::optional<absl::StatusOr<CodeResult>> result_;
};

class ToolsService final : public v1::Tools::Service {
 public:
  using Writer = grpc::ServerWriter<v1::InvokeEvent>;

  explicit ToolsService(const FrontPorts& ports) : ports_(ports) {}

  grpc::Status ListTools(grpc::ServerContext* context, const v1::ListToolsRequest* request,
                         v1::ListToolsResponse* response) override {
    return Serve(ports_.keys, *context, [&](const ProjectId& project) { return List(project, *request, *response); });
  }

  grpc::Status Invoke(grpc::ServerContext* context, const v1::InvokeRequest* request, Writer* writer) override {
    return Serve(ports_.keys, *context,
                 [&](const ProjectId& project) { return Call(*context, project, *request, *writer); });
  }

 private:
  absl::StatusOr<std::vector<FileObject>> FilesOf(const ProjectId& project,
                                                  const google::protobuf::RepeatedPtrField<std::string>& ids) {
    if (ids.size() > kFilesMax) {
      return rpc::InvalidField("file_ids", absl::StrCat(ids.size()), absl::StrCat("at most ", kFilesMax));
    }
    std::vector<FileObject> files;
    for (const std::string& id : ids) {
      GATEWAY_ASSIGN_OR_RETURN(FileObject file, ports_.files.Get(project, FileId(id)));
      files.push_back(std::move(file));
    }
    return files;
  }

  absl::Status List(const ProjectId& project, const v1::ListToolsRequest& request, v1::ListToolsResponse& response) {
    GATEWAY_ASSIGN_OR_RETURN(const std::vector<FileObject> files, FilesOf(project, request.file_ids()));
    std::vector<std::pair<FileId, std::string>> names;
    for (const FileObject& file : files) names.emplace_back(file.id, file.filename);
    for (const FunctionTool& definition : {CodeToolDefinition(names), SearchToolDefinition()}) {
      v1::Tool& tool = *response.add_tools();
      tool.set_name(definition.name);
      tool.set_description(definition.description.value_or(""));
      tool.set_parameters_json(definition.parameters.text);
    }
    return absl::OkStatus();
  }

  absl::Status Call(grpc::ServerContext& context, const ProjectId& project, const v1::InvokeRequest& request,
                    Writer& writer) {
    if (request.arguments().size() > kArgumentBytesMax) {
      return rpc::InvalidField("arguments", absl::StrCat(request.arguments().size(), " bytes"), "at most 1 MiB");
    }
    v1::InvokeEvent last;
    if (request.name() == kCodeToolName) {
      GATEWAY_ASSIGN_OR_RETURN(*last.mutable_result(), RunCode(context, project, request, writer));
    } else if (request.name() == kSearchToolName) {
      GATEWAY_ASSIGN_OR_RETURN(*last.mutable_result(), Search(project, request));
    } else {
      last.mutable_result()->set_text(absl::StrCat("Error: there is no tool '", request.name(),
                                                   "'. The tools are: ", kCodeToolName, ", ", kSearchToolName, "."));
    }
    writer.Write(last);
    return absl::OkStatus();
  }

  static v1::Result Mistake(const absl::Status& wrong) {
    v1::Result result;
    result.set_text(std::string(wrong.message()));
    return result;
  }

  absl::StatusOr<v1::Result> RunCode(grpc::ServerContext& context, const ProjectId& project,
                                     const v1::InvokeRequest& request, Writer& writer) {
    GATEWAY_ASSIGN_OR_RETURN(const std::vector<FileObject> files, FilesOf(project, request.file_ids()));
    auto code = ReadCode(request.arguments());
    if (!code.ok()) return Mistake(code.status());
    if (request.container().empty()) return rpc::InvalidField("container", "", "the name of a container");
    GATEWAY_ASSIGN_OR_RETURN(ContainerId container, ports_.containers.Named(project, request.container()));
    CodeRequest wanted{.project = project, .container = std::move(container), .code = *std::move(code)};
    for (const FileObject& file : files) wanted.files.push_back({.path = file.id.value, .blob = file.blob});

    auto mailbox = std::make_shared<Mailbox>();
    const auto call = ports_.code.Start(std::move(wanted), mailbox);
    std::optional<absl::StatusOr<CodeResult>> ended;
    while (!ended.has_value()) {
      std::deque<std::string> logs;
      mailbox->Take(kLook, logs, ended);
      for (std::string& piece : logs) {
        v1::InvokeEvent event;
        event.set_logs(std::move(piece));
        if (!writer.Write(event)) return absl::CancelledError("the caller has gone");
      }
      if (context.IsCancelled()) return absl::CancelledError("the caller has gone");
    }
    if (!ended->ok()) return ended->status();
    return KeepOutputs(project, **ended);
  }

  absl::StatusOr<v1::Result> KeepOutputs(const ProjectId& project, CodeResult& code) {
    ToolCall call{.kind = ToolKind::kCodeInterpreter};
    if (!code.text.empty()) call.code_outputs.push_back({.kind = CodeOutput::Kind::kLogs, .logs = code.text});
    v1::Result result;
    const auto keep = [&](CodeArtifact& artifact, v1::OutputFile& out) -> absl::Status {
      out.set_path(artifact.path);
      out.set_media_type(artifact.media_type);
      out.set_size_bytes(artifact.stored.blob.size_bytes);
      GATEWAY_ASSIGN_OR_RETURN(
          const FileObject file,
          ports_.files.Create(project, {.filename = artifact.path.substr(artifact.path.rfind('/') + 1),
                                        .purpose = kPurposeOutput,
                                        .stored = std::move(artifact.stored)}));
      out.set_file_id(file.id.value);
      return absl::OkStatus();
    };
    for (CodeArtifact& image : code.images) {
      GATEWAY_RETURN_IF_ERROR(keep(image, *result.add_images()));
      call.code_outputs.push_back({.kind = CodeOutput::Kind::kImage});
    }
    for (CodeArtifact& file : code.files) {
      GATEWAY_RETURN_IF_ERROR(keep(file, *result.add_outputs()));
      call.written_files.push_back({.path = file.path});
    }
    result.set_text(CodeText(call, code.state_lost));
    result.set_succeeded(code.succeeded());
    result.set_logs(std::move(code.text));
    result.set_state_lost(code.state_lost);
    *result.mutable_outcome() = ToProto(code.ending);
    return result;
  }

  absl::StatusOr<v1::Result> Search(const ProjectId& project, const v1::InvokeRequest& request) {
    if (request.vector_store_ids_size() > kStoresMax) {
      return rpc::InvalidField("vector_store_ids", absl::StrCat(request.vector_store_ids_size()), "at most 16");
    }
    if (request.max_results() > kResultsMax) {
      return rpc::InvalidField("max_results", absl::StrCat(request.max_results()), "1 to 50, or 0 for 20");
    }
    if (request.search_number() > kSearchNumberMax) {
      return rpc::InvalidField("search_number", absl::StrCat(request.search_number()), "0 to 100000");
    }
    auto queries = ReadQueries(request.arguments());
    if (!queries.ok()) return Mistake(queries.status());
    SearchRequest wanted{
        .project = project,
        .queries = *std::move(queries),
        .max_results = static_cast<int>(request.max_results() == 0 ? kResultsDefault : request.max_results())};
    if (request.has_filter()) {
      GATEWAY_ASSIGN_OR_RETURN(wanted.filter, FromProto(request.filter()));
    }
    wanted.ranking = FromProto(request.ranking());
    for (const std::string& id : request.vector_store_ids()) {
      GATEWAY_ASSIGN_OR_RETURN(const VectorStore store, ports_.stores.Get(project, StoreId(id)));
      if (store.expired) return MakeError(ErrorKind::kStoreExpired, "", {id});
      GATEWAY_RETURN_IF_ERROR(ports_.stores.Touch(project, store.id));
      wanted.stores.push_back(store.id);
    }
    v1::Result result;
    std::vector<SearchResult> found;
    if (!wanted.stores.empty()) {
      GATEWAY_ASSIGN_OR_RETURN(SearchAnswer answer, ports_.search.Search(wanted));
      v1::SearchTimes& times = *result.mutable_search_times();
      times.set_elapsed_us(answer.times.elapsed_us);
      times.set_embed_us(answer.times.embed_us);
      times.set_vector_us(answer.times.vector_us);
      times.set_text_us(answer.times.text_us);
      found = std::move(answer.results);
    }
    const int number = static_cast<int>(request.search_number());
    result.set_succeeded(true);
    result.set_text(SearchText(number, found));
    for (std::size_t i = 0; i < found.size(); ++i) {
      v1::Passage& passage = *result.add_passages();
      passage.set_marker(Marker(number, i, found[i].file_name));
      passage.set_file_id(found[i].file_id.value);
      passage.set_file_name(found[i].file_name);
      passage.set_score(found[i].score);
      passage.set_text(found[i].passage);
      const Citation citation = found[i].BestCitation();
      passage.set_quote(citation.quote);
      passage.set_first_page(citation.first_page);
      passage.set_last_page(citation.last_page);
      passage.set_first_page_label(citation.first_page_label);
      passage.set_last_page_label(citation.last_page_label);
      passage.set_quote_begin(citation.span.begin);
      passage.set_quote_end(citation.span.end);
    }
    return result;
  }

  FrontPorts ports_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeToolsService(const FrontPorts& ports) {
  return std::make_unique<ToolsService>(ports);
}

}  // namespace carrel::gateway
