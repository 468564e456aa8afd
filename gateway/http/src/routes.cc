#include "routes.h"

#include <array>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "handlers.h"

namespace carrel::gateway::http {
namespace {

// /threads/runs stands before /threads/{thread}: the first that fits is taken.
constexpr Route kRoutes[] = {
    {"POST", "/assistants", CreateAssistant},
    {"GET", "/assistants", ListAssistants},
    {"GET", "/assistants/{assistant_id}", GetAssistant},
    {"POST", "/assistants/{assistant_id}", UpdateAssistant},
    {"DELETE", "/assistants/{assistant_id}", DeleteAssistant},
    {"POST", "/assistants/{assistant_id}/files", AttachAssistantFile},
    {"GET", "/assistants/{assistant_id}/files", ListAssistantFiles},
    {"GET", "/assistants/{assistant_id}/files/{file_id}", GetAssistantFile},
    {"DELETE", "/assistants/{assistant_id}/files/{file_id}", DetachAssistantFile},

    {"POST", "/threads", CreateThread},
    {"POST", "/threads/runs", CreateThreadAndRun},
    {"GET", "/threads/{thread_id}", GetThread},
    {"POST", "/threads/{thread_id}", UpdateThread},
    {"DELETE", "/threads/{thread_id}", DeleteThread},
    {"POST", "/threads/{thread_id}/messages", CreateMessage},
    {"GET", "/threads/{thread_id}/messages", ListMessages},
    {"GET", "/threads/{thread_id}/messages/{message_id}", GetMessage},
    {"POST", "/threads/{thread_id}/messages/{message_id}", UpdateMessage},
    {"DELETE", "/threads/{thread_id}/messages/{message_id}", DeleteMessage},
    {"GET", "/threads/{thread_id}/messages/{message_id}/files", ListMessageFiles},
    {"GET", "/threads/{thread_id}/messages/{message_id}/files/{file_id}", GetMessageFile},

    {"POST", "/threads/{thread_id}/runs", CreateRun},
    {"GET", "/threads/{thread_id}/runs", ListRuns},
    {"GET", "/threads/{thread_id}/runs/{run_id}", GetRun},
    {"POST", "/threads/{thread_id}/runs/{run_id}", UpdateRun},
    {"POST", "/threads/{thread_id}/runs/{run_id}/cancel", CancelRun},
    {"POST", "/threads/{thread_id}/runs/{run_id}/submit_tool_outputs", SubmitToolOutputs},
    {"GET", "/threads/{thread_id}/runs/{run_id}/steps", ListSteps},
    {"GET", "/threads/{thread_id}/runs/{run_id}/steps/{step_id}", GetStep},

    {"POST", "/files", CreateFile, BodyKind::kFile},
    {"GET", "/files", ListFiles},
    {"GET", "/files/{file_id}", GetFile},
    {"GET", "/files/{file_id}/content", GetFileContent},
    {"DELETE", "/files/{file_id}", DeleteFile},

    {"POST", "/uploads", CreateUpload},
    {"POST", "/uploads/{upload_id}/parts", AddUploadPart, BodyKind::kPart},
    {"POST", "/uploads/{upload_id}/complete", CompleteUpload},
    {"POST", "/uploads/{upload_id}/cancel", CancelUpload},

    {"POST", "/containers", CreateContainer},
    {"GET", "/containers", ListContainers},
    {"GET", "/containers/{container_id}", GetContainer},
    {"DELETE", "/containers/{container_id}", DeleteContainer},
    {"POST", "/containers/{container_id}/files", CreateContainerFile, BodyKind::kFileOrJson},
    {"GET", "/containers/{container_id}/files", ListContainerFiles},
    {"GET", "/containers/{container_id}/files/{container_file_id}", GetContainerFile},
    {"GET", "/containers/{container_id}/files/{container_file_id}/content", GetContainerFileContent},
    {"DELETE", "/containers/{container_id}/files/{container_file_id}", DeleteContainerFile},

    {"POST", "/vector_stores", CreateStore},
    {"GET", "/vector_stores", ListStores},
    {"GET", "/vector_stores/{vector_store_id}", GetStore},
    {"POST", "/vector_stores/{vector_store_id}", UpdateStore},
    {"DELETE", "/vector_stores/{vector_store_id}", DeleteStore},
    {"POST", "/vector_stores/{vector_store_id}/search", SearchStore},
    {"POST", "/vector_stores/{vector_store_id}/files", AddStoreFile},
    {"GET", "/vector_stores/{vector_store_id}/files", ListStoreFiles},
    {"GET", "/vector_stores/{vector_store_id}/files/{file_id}", GetStoreFile},
    {"POST", "/vector_stores/{vector_store_id}/files/{file_id}", UpdateStoreFile},
    {"DELETE", "/vector_stores/{vector_store_id}/files/{file_id}", RemoveStoreFile},
    {"GET", "/vector_stores/{vector_store_id}/files/{file_id}/content", GetStoreFileContent},
    {"POST", "/vector_stores/{vector_store_id}/file_batches", CreateBatch},
    {"GET", "/vector_stores/{vector_store_id}/file_batches/{batch_id}", GetBatch},
    {"POST", "/vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel", CancelBatch},
    {"GET", "/vector_stores/{vector_store_id}/file_batches/{batch_id}/files", ListBatchFiles},

    {"GET", "/models", ListModels},
    {"GET", "/models/{model}", GetModel},

    {"GET", "/carrel/server", GetServer},
    {"GET", "/carrel/vector_stores/{vector_store_id}/files/{file_id}/citation", CiteFile},
    {"GET", "/carrel/vector_stores/{vector_store_id}/files/{file_id}/pages/{picture}", DrawFilePage},
    {"POST", "/carrel/keys", CreateKey, BodyKind::kJson, true},
    {"GET", "/carrel/keys", ListKeys, BodyKind::kJson, true},
    {"DELETE", "/carrel/keys/{key_id}", RevokeKey, BodyKind::kJson, true},
};

// Ids that are refused before they are looked for, with the word that OpenAI's message has.
struct Prefix {
  std::string_view name;
  std::string_view prefix;
};
constexpr Prefix kPrefixes[] = {
    {"assistant_id", "asst"}, {"thread_id", "thread"}, {"run_id", "run"}, {"message_id", "msg"}};

std::vector<std::string_view> Split(std::string_view path) {
  std::vector<std::string_view> segments;
  while (!path.empty()) {
    path.remove_prefix(1);  // '/'
    std::string_view segment = path.substr(0, path.find('/'));
    path.remove_prefix(segment.size());
    // One '/' too many at the end is forgiven.
    if (!segment.empty() || !path.empty()) segments.push_back(segment);
  }
  return segments;
}

bool Fits(const Route& route, const std::vector<std::string_view>& segments, std::map<std::string, std::string>& ids) {
  std::vector<std::string_view> pattern = Split(route.path);
  if (pattern.size() != segments.size()) return false;
  ids.clear();
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i].starts_with('{')) {
      ids[std::string(pattern[i].substr(1, pattern[i].size() - 2))] = DecodeUrl(segments[i], false);
    } else if (pattern[i] != segments[i]) {
      return false;
    }
  }
  return true;
}

absl::Status CheckIds(const std::map<std::string, std::string>& ids) {
  for (const Prefix& known : kPrefixes) {
    auto found = ids.find(std::string(known.name));
    if (found != ids.end() && !found->second.starts_with(known.prefix)) {
      return MakeError(ErrorKind::kIdPrefix, found->first, {found->second, std::string(known.prefix)});
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view BelowBase(std::string_view path) {
  for (std::string_view base : {"/openai/v1", "/openai", "/v1"}) {
    if (path.starts_with(base) && (path.size() == base.size() || path[base.size()] == '/')) {
      return path.substr(base.size());
    }
  }
  return path;
}

absl::StatusOr<const Route*> FindRoute(Request& request) {
  request.allowed.clear();
  std::vector<std::string_view> segments = Split(request.path);
  for (const Route& route : kRoutes) {
    std::map<std::string, std::string> ids;
    if ((route.admin && !request.admin) || !Fits(route, segments, ids)) continue;
    if (request.method != route.method) {
      request.allowed.emplace_back(route.method);
      continue;
    }
    GATEWAY_RETURN_IF_ERROR(CheckIds(ids));
    request.ids = std::move(ids);
    return &route;
  }
  return MakeError(request.allowed.empty() ? ErrorKind::kUrlUnknown : ErrorKind::kMethodNotAllowed, "",
                   {request.method, request.url_path});
}

openai::ApiVersion VersionOf(std::string_view beta_header, std::string_view api_version) {
  if (beta_header.find("assistants=v1") != std::string_view::npos) return openai::ApiVersion::kV1;
  if (beta_header.find("assistants=v2") != std::string_view::npos) return openai::ApiVersion::kV2;
  // Azure's versions are dates; v2 came with 2024-05-01-preview.
  const bool dated = api_version.size() >= 10 && api_version[4] == '-';
  return dated && api_version.substr(0, 10) < "2024-05-01" ? openai::ApiVersion::kV1 : openai::ApiVersion::kV2;
}

}  // namespace carrel::gateway::http
