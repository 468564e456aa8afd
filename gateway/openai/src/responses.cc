#include "gateway/openai/responses.h"

#include <nlohmann/json.hpp>
#include <set>
#include <type_traits>

#include "gateway/openai/errors.h"
#include "gateway/types/run_status_name.h"

namespace carrel::gateway::openai {
namespace {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json Seconds(absl::Time time) { return absl::ToUnixSeconds(time); }
Json Seconds(const std::optional<absl::Time>& time) { return time.has_value() ? Json(Seconds(*time)) : Json(nullptr); }
template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value.has_value() ? Json(*value) : Json(nullptr);
}
template <typename Tag>
Json OrNull(const std::optional<Id<Tag>>& id) {
  return id.has_value() ? Json(id->value) : Json(nullptr);
}
// Free JSON of the client; what cannot be parsed was never stored.
Json Free(const JsonText& text, Json otherwise) {
  if (text.empty()) return otherwise;
  Json json = Json::parse(text.text, nullptr, false);
  return json.is_discarded() ? otherwise : json;
}

Json Of(const Metadata& metadata) {
  Json json = Json::object();
  for (const auto& [key, value] : metadata) json[key] = value;
  return json;
}

Json Of(const Attributes& attributes) {
  Json json = Json::object();
  for (const auto& [key, value] : attributes) {
    json[key] = std::visit([](const auto& held) { return Json(held); }, value);
  }
  return json;
}

template <typename IdType>
Json Of(const std::vector<IdType>& ids) {
  Json json = Json::array();
  for (const IdType& id : ids) json.push_back(id.value);
  return json;
}

// --- tools ---

Json Of(const RankingOptions& ranking, bool hybrid) {
  Json json = {{"ranker", ranking.ranker}, {"score_threshold", ranking.score_threshold}};
  if (!hybrid) return json;
  bool weights = ranking.embedding_weight.has_value() || ranking.text_weight.has_value();
  json["hybrid_search"] = weights ? Json{{"embedding_weight", OrNull(ranking.embedding_weight)},
                                         {"text_weight", OrNull(ranking.text_weight)}}
                                  : Json(nullptr);
  return json;
}

Json Of(const Tool& tool, const View& view) {
  switch (tool.kind) {
    case ToolKind::kCodeInterpreter:
      return {{"type", "code_interpreter"}};
    case ToolKind::kFileSearch: {
      if (view.version == ApiVersion::kV1) return {{"type", "retrieval"}};
      Json options = Json::object();
      if (tool.file_search.max_num_results.has_value()) options["max_num_results"] = *tool.file_search.max_num_results;
      options["ranking_options"] = Of(tool.file_search.ranking, true);
      return {{"type", "file_search"}, {"file_search", options}};
    }
    case ToolKind::kFunction:
      break;
  }
  Json function = {{"name", tool.function.name}};
  if (tool.function.description.has_value()) function["description"] = *tool.function.description;
  function["parameters"] = Free(tool.function.parameters, {{"type", "object"}, {"properties", Json::object()}});
  if (view.version == ApiVersion::kV2) function["strict"] = tool.function.strict.value_or(false);
  return {{"type", "function"}, {"function", function}};
}

Json Of(const std::vector<Tool>& tools, const View& view) {
  Json json = Json::array();
  for (const Tool& tool : tools) json.push_back(Of(tool, view));
  return json;
}

Json Of(const ToolResources& resources) {
  Json json = Json::object();
  if (resources.code_files.has_value()) json["code_interpreter"] = {{"file_ids", Of(*resources.code_files)}};
  if (resources.stores.has_value()) json["file_search"] = {{"vector_store_ids", Of(*resources.stores)}};
  return json;
}

Json Of(const ResponseFormat& format) {
  switch (format.kind) {
    case ResponseFormat::Kind::kAuto:
      return "auto";
    case ResponseFormat::Kind::kText:
      return {{"type", "text"}};
    case ResponseFormat::Kind::kJsonObject:
      return {{"type", "json_object"}};
    case ResponseFormat::Kind::kJsonSchema:
      break;
  }
  return {{"type", "json_schema"}, {"json_schema", Free(format.json_schema, Json::object())}};
}

Json Of(const ToolChoice& choice) {
  switch (choice.kind) {
    case ToolChoice::Kind::kAuto:
      return "auto";
    case ToolChoice::Kind::kNone:
      return "none";
    case ToolChoice::Kind::kRequired:
      return "required";
    case ToolChoice::Kind::kFunction:
      return {{"type", "function"}, {"function", {{"name", choice.function_name}}}};
    case ToolChoice::Kind::kCodeInterpreter:
      return {{"type", "code_interpreter"}};
    case ToolChoice::Kind::kFileSearch:
      break;
  }
  return {{"type", "file_search"}};
}

// --- assistants and threads ---

// v1 knew one list of files; the code's files of a v2 object are in it too.
Json FilesOf(const Assistant& assistant) {
  Json files = Json::array();
  std::set<std::string> seen;
  for (const AssistantFile& file : assistant.files) {
    if (seen.insert(file.file_id.value).second) files.push_back(file.file_id.value);
  }
  for (const FileId& file : assistant.tool_resources.code_files.value_or(std::vector<FileId>())) {
    if (seen.insert(file.value).second) files.push_back(file.value);
  }
  return files;
}

Json Of(const Assistant& a, const View& view) {
  Json json = {{"id", a.id.value},
               {"object", "assistant"},
               {"created_at", Seconds(a.created_at)},
               {"name", OrNull(a.name)},
               {"description", OrNull(a.description)},
               {"model", a.model},
               {"instructions", OrNull(a.instructions)},
               {"tools", Of(a.tools, view)}};
  if (view.version == ApiVersion::kV1) {
    json["file_ids"] = FilesOf(a);
    json["metadata"] = Of(a.metadata);
    return json;
  }
  json["top_p"] = a.top_p;
  json["temperature"] = a.temperature;
  json["reasoning_effort"] = OrNull(a.reasoning_effort);
  json["tool_resources"] = Of(a.tool_resources);
  json["metadata"] = Of(a.metadata);
  json["response_format"] = Of(a.response_format);
  return json;
}

Json Of(const Thread& t, const View& view) {
  Json json = {
      {"id", t.id.value}, {"object", "thread"}, {"created_at", Seconds(t.created_at)}, {"metadata", Of(t.metadata)}};
  if (view.version == ApiVersion::kV2) json["tool_resources"] = Of(t.tool_resources);
  return json;
}

// --- messages ---

Json Of(const Annotation& annotation, const View& view) {
  const bool citation = annotation.kind == Annotation::Kind::kFileCitation;
  Json json = {{"type", citation ? "file_citation" : "file_path"},
               {"text", annotation.text},
               {"start_index", annotation.start_index},
               {"end_index", annotation.end_index}};
  Json target = {{"file_id", annotation.file_id.value}};
  if (citation && view.version == ApiVersion::kV1) target["quote"] = annotation.quote;
  json[citation ? "file_citation" : "file_path"] = target;
  return json;
}

Json ImageOf(const char* key, const std::string& value, const std::string& detail, const View& view) {
  Json json = {{key, value}};
  if (!detail.empty() && view.version == ApiVersion::kV2) json["detail"] = detail;
  return json;
}

Json Of(const ContentPart& part, const View& view) {
  switch (part.kind) {
    case ContentPart::Kind::kImageFile:
      return {{"type", "image_file"}, {"image_file", ImageOf("file_id", part.image_file.value, part.detail, view)}};
    case ContentPart::Kind::kImageUrl:
      return {{"type", "image_url"}, {"image_url", ImageOf("url", part.image_url, part.detail, view)}};
    case ContentPart::Kind::kRefusal:
      return {{"type", "refusal"}, {"refusal", part.text}};
    case ContentPart::Kind::kText:
      break;
  }
  Json annotations = Json::array();
  for (const Annotation& annotation : part.annotations) annotations.push_back(Of(annotation, view));
  return {{"type", "text"}, {"text", {{"value", part.text}, {"annotations", annotations}}}};
}

const char* NameOf(Message::Status status) {
  switch (status) {
    case Message::Status::kInProgress:
      return "in_progress";
    case Message::Status::kIncomplete:
      return "incomplete";
    case Message::Status::kCompleted:
      break;
  }
  return "completed";
}

const char* NameOf(Message::IncompleteReason reason) {
  switch (reason) {
    case Message::IncompleteReason::kContentFilter:
      return "content_filter";
    case Message::IncompleteReason::kMaxTokens:
      return "max_tokens";
    case Message::IncompleteReason::kRunCancelled:
      return "run_cancelled";
    case Message::IncompleteReason::kRunFailed:
      return "run_failed";
    case Message::IncompleteReason::kRunExpired:
      break;
  }
  return "run_expired";
}

Json AttachmentsOf(const Message& m) {
  Json json = Json::array();
  for (const Attachment& attachment : m.attachments) {
    Json tools = Json::array();
    if (attachment.code_interpreter) tools.push_back({{"type", "code_interpreter"}});
    if (attachment.file_search) tools.push_back({{"type", "file_search"}});
    json.push_back({{"file_id", attachment.file_id.value}, {"tools", tools}});
  }
  return json;
}

Json Of(const Message& m, const View& view) {
  Json content = Json::array();
  for (const ContentPart& part : m.content) content.push_back(Of(part, view));
  Json json = {
      {"id", m.id.value},
      {"object", "thread.message"},
      {"created_at", Seconds(m.created_at)},
      {"assistant_id", OrNull(m.assistant_id)},
      {"thread_id", m.thread_id.value},
      {"run_id", OrNull(m.run_id)},
      {"status", NameOf(m.status)},
      {"incomplete_details",
       m.incomplete_reason.has_value() ? Json{{"reason", NameOf(*m.incomplete_reason)}} : Json(nullptr)},
      {"incomplete_at", Seconds(m.incomplete_at)},
      {"completed_at", Seconds(m.completed_at)},
      {"role", m.role == Role::kUser ? "user" : "assistant"},
      {"content", content},
  };
  if (view.version == ApiVersion::kV1) {
    Json files = Json::array();
    for (const Attachment& attachment : m.attachments) files.push_back(attachment.file_id.value);
    json["file_ids"] = files;
  } else {
    json["attachments"] = AttachmentsOf(m);
  }
  json["metadata"] = Of(m.metadata);
  return json;
}

// --- runs ---

Json Of(const std::optional<LastError>& error) {
  if (!error.has_value()) return nullptr;
  const char* code = error->code == LastError::Code::kServerError         ? "server_error"
                     : error->code == LastError::Code::kRateLimitExceeded ? "rate_limit_exceeded"
                                                                          : "invalid_prompt";
  return {{"code", code}, {"message", error->message}};
}

Json Of(const std::optional<TokenUsage>& usage) {
  if (!usage.has_value()) return nullptr;
  return {{"prompt_tokens", usage->prompt_tokens},
          {"completion_tokens", usage->completion_tokens},
          {"total_tokens", usage->total_tokens()},
          {"prompt_token_details", {{"cached_tokens", usage->cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", usage->reasoning_tokens}}}};
}

Json RequiredActionOf(const Run& run) {
  if (run.status != RunStatus::kRequiresAction) return nullptr;
  Json calls = Json::array();
  for (const ToolCall& call : run.required_calls) {
    calls.push_back({{"id", call.id.value},
                     {"type", "function"},
                     {"function", {{"name", call.function_name}, {"arguments", call.arguments}}}});
  }
  return {{"type", "submit_tool_outputs"}, {"submit_tool_outputs", {{"tool_calls", calls}}}};
}

Json IncompleteOf(const Run& run) {
  if (!run.incomplete_reason.has_value()) return nullptr;
  bool prompt = *run.incomplete_reason == Run::IncompleteReason::kMaxPromptTokens;
  return {{"reason", prompt ? "max_prompt_tokens" : "max_completion_tokens"}};
}

Json Of(const Run& r, const View& view) {
  const bool v1 = view.version == ApiVersion::kV1;
  Json json = {{"id", r.id.value},
               {"object", "thread.run"},
               {"created_at", Seconds(r.created_at)},
               {"assistant_id", r.assistant_id.value},
               {"thread_id", r.thread_id.value},
               {"status", RunStatusName(r.status)},
               {"started_at", Seconds(r.started_at)},
               {"expires_at", Seconds(r.expires_at)},
               {"cancelled_at", Seconds(r.cancelled_at)},
               {"failed_at", Seconds(r.failed_at)},
               {"completed_at", Seconds(r.completed_at)},
               {"required_action", RequiredActionOf(r)},
               {"last_error", Of(r.last_error)},
               {"model", r.model},
               {"instructions", r.instructions},
               {"tools", Of(r.tools, view)}};
  if (v1) {
    json["file_ids"] = Of(r.files);
  } else {
    json["tool_resources"] = Of(r.tool_resources);
  }
  json["metadata"] = Of(r.metadata);
  json["temperature"] = r.temperature;
  json["top_p"] = r.top_p;
  if (!v1) json["reasoning_effort"] = OrNull(r.reasoning_effort);
  json["max_completion_tokens"] = OrNull(r.max_completion_tokens);
  json["max_prompt_tokens"] = OrNull(r.max_prompt_tokens);
  json["truncation_strategy"] = {{"type", r.truncation.last_messages.has_value() ? "last_messages" : "auto"},
                                 {"last_messages", OrNull(r.truncation.last_messages)}};
  json["incomplete_details"] = IncompleteOf(r);
  json["usage"] = Of(r.usage);
  json["response_format"] = Of(r.response_format);
  json["tool_choice"] = Of(r.tool_choice);
  if (!v1) json["parallel_tool_calls"] = r.parallel_tool_calls;
  return json;
}

Json Of(const CodeOutput& output) {
  if (output.kind == CodeOutput::Kind::kLogs) return {{"type", "logs"}, {"logs", output.logs}};
  return {{"type", "image"}, {"image", {{"file_id", output.image.value}}}};
}

Json Of(const SearchResult& result, const View& view) {
  Json json = {{"file_id", result.file_id.value},
               {"file_name", result.file_name},
               {"score", result.score},
               {"attributes", Of(result.attributes)}};
  if (view.search_content) json["content"] = Json::array({{{"type", "text"}, {"text", result.passage}}});
  return json;
}

Json Of(const ToolCall& call, const View& view) {
  Json json = {{"id", call.id.value}};
  if (call.kind == ToolKind::kCodeInterpreter) {
    Json outputs = Json::array();
    for (const CodeOutput& output : call.code_outputs) outputs.push_back(Of(output));
    json["type"] = "code_interpreter";
    json["code_interpreter"] = {{"input", call.code}, {"outputs", outputs}};
  } else if (call.kind == ToolKind::kFunction) {
    json["type"] = "function";
    json["function"] = {{"name", call.function_name}, {"arguments", call.arguments}, {"output", OrNull(call.output)}};
  } else if (view.version == ApiVersion::kV1) {
    json["type"] = "retrieval";
    json["retrieval"] = Json::object();
  } else {
    Json results = Json::array();
    for (const SearchResult& result : call.search_results) results.push_back(Of(result, view));
    json["type"] = "file_search";
    json["file_search"] = {{"ranking_options", Of(call.ranking, false)}, {"results", results}};
  }
  return json;
}

const char* NameOf(RunStep::Status status) {
  switch (status) {
    case RunStep::Status::kInProgress:
      return "in_progress";
    case RunStep::Status::kCancelled:
      return "cancelled";
    case RunStep::Status::kFailed:
      return "failed";
    case RunStep::Status::kCompleted:
      return "completed";
    case RunStep::Status::kExpired:
      break;
  }
  return "expired";
}

Json Of(const RunStep& s, const View& view) {
  const bool message = s.kind == RunStep::Kind::kMessageCreation;
  Json details = {{"type", message ? "message_creation" : "tool_calls"}};
  if (message) {
    details["message_creation"] = {{"message_id", s.message_id.value}};
  } else {
    details["tool_calls"] = Json::array();
    for (const ToolCall& call : s.tool_calls) details["tool_calls"].push_back(Of(call, view));
  }
  return {{"id", s.id.value},
          {"object", "thread.run.step"},
          {"created_at", Seconds(s.created_at)},
          {"run_id", s.run_id.value},
          {"assistant_id", s.assistant_id.value},
          {"thread_id", s.thread_id.value},
          {"type", message ? "message_creation" : "tool_calls"},
          {"status", NameOf(s.status)},
          {"cancelled_at", Seconds(s.cancelled_at)},
          {"completed_at", Seconds(s.completed_at)},
          {"expires_at", nullptr},
          {"expired_at", Seconds(s.expired_at)},
          {"failed_at", Seconds(s.failed_at)},
          {"last_error", Of(s.last_error)},
          {"step_details", details},
          {"metadata", Json::object()},
          {"usage", Of(s.usage)}};
}

// --- files and stores ---

Json Of(const FileObject& f, const View&) {
  return {{"object", "file"},
          {"id", f.id.value},
          {"purpose", f.purpose},
          {"filename", f.filename},
          {"bytes", f.blob.size_bytes},
          {"created_at", Seconds(f.created_at)},
          {"expires_at", Seconds(f.expires_at)},
          {"status", "processed"},
          {"status_details", nullptr}};
}

Json Of(const FileCounts& counts) {
  return {{"in_progress", counts.in_progress},
          {"completed", counts.completed},
          {"failed", counts.failed},
          {"cancelled", counts.cancelled},
          {"total", counts.total()}};
}

Json Of(const VectorStore& s, const View&) {
  const char* status = s.status() == VectorStore::Status::kExpired      ? "expired"
                       : s.status() == VectorStore::Status::kInProgress ? "in_progress"
                                                                        : "completed";
  Json expires_after = nullptr;
  Json expires_at = nullptr;
  if (s.expires_after_days.has_value()) {
    expires_after = {{"anchor", "last_active_at"}, {"days", *s.expires_after_days}};
    expires_at = Seconds(s.last_active_at + absl::Hours(24) * *s.expires_after_days);
  }
  return {{"id", s.id.value},
          {"object", "vector_store"},
          {"created_at", Seconds(s.created_at)},
          {"name", OrNull(s.name)},
          {"description", OrNull(s.description)},
          {"usage_bytes", s.usage_bytes},
          {"file_counts", Of(s.counts)},
          {"status", status},
          {"expires_after", expires_after},
          {"expires_at", expires_at},
          {"last_active_at", Seconds(s.last_active_at)},
          {"metadata", Of(s.metadata)}};
}

const char* NameOf(StoreFileStatus status) {
  switch (status) {
    case StoreFileStatus::kInProgress:
      return "in_progress";
    case StoreFileStatus::kCompleted:
      return "completed";
    case StoreFileStatus::kCancelled:
      return "cancelled";
    case StoreFileStatus::kFailed:
      break;
  }
  return "failed";
}

Json Of(const std::optional<StoreFileError>& error) {
  if (!error.has_value()) return nullptr;
  const char* code = error->code == StoreFileError::Code::kServerError       ? "server_error"
                     : error->code == StoreFileError::Code::kUnsupportedFile ? "unsupported_file"
                                                                             : "invalid_file";
  return {{"code", code}, {"message", error->message}};
}

Json Of(const VectorStoreFile& f, const View&) {
  return {{"id", f.file_id.value},
          {"object", "vector_store.file"},
          {"usage_bytes", f.usage_bytes},
          {"created_at", Seconds(f.created_at)},
          {"vector_store_id", f.store_id.value},
          {"status", NameOf(f.status)},
          {"last_error", Of(f.last_error)},
          {"chunking_strategy",
           {{"type", "static"},
            {"static",
             {{"max_chunk_size_tokens", f.chunking.max_chunk_size_tokens},
              {"chunk_overlap_tokens", f.chunking.chunk_overlap_tokens}}}}},
          {"attributes", Of(f.attributes)}};
}

Json Of(const FileBatch& b, const View&) {
  const char* status = b.counts.in_progress > 0                         ? "in_progress"
                       : b.cancelled                                    ? "cancelled"
                       : b.counts.failed > 0 && b.counts.completed == 0 ? "failed"
                                                                        : "completed";
  return {{"id", b.id.value}, {"object", "vector_store.files_batch"}, {"created_at", Seconds(b.created_at)},
          {"status", status}, {"vector_store_id", b.store_id.value},  {"file_counts", Of(b.counts)}};
}

// --- lists ---

Json List(Json data, bool has_more) {
  Json first = data.empty() ? Json(nullptr) : data.front()["id"];
  Json last = data.empty() ? Json(nullptr) : data.back()["id"];
  return {{"object", "list"},
          {"data", std::move(data)},
          {"first_id", std::move(first)},
          {"last_id", std::move(last)},
          {"has_more", has_more}};
}

Json AssistantFileOf(const AssistantFile& file, const AssistantId& assistant) {
  return {{"id", file.file_id.value},
          {"object", "assistant.file"},
          {"created_at", Seconds(file.created_at)},
          {"assistant_id", assistant.value}};
}

Json MessageFileOf(const FileId& file, const Message& message) {
  return {{"id", file.value},
          {"object", "thread.message.file"},
          {"created_at", Seconds(message.created_at)},
          {"message_id", message.id.value}};
}

Json KeyOf(const ApiKey& key) {
  return {{"id", key.id.value},
          {"object", "carrel.key"},
          {"name", key.name},
          {"project", key.project.value},
          {"hint", key.hint},
          {"created_at", Seconds(key.created_at)},
          {"revoked_at", Seconds(key.revoked_at)}};
}

// --- what grew ---

Json Of(const MessageDelta& d, const View& view) {
  Json part = {{"index", d.index}};
  if (d.kind == ContentPart::Kind::kImageFile) {
    part["type"] = "image_file";
    part["image_file"] = {{"file_id", d.image_file.value}};
  } else if (d.kind == ContentPart::Kind::kRefusal) {
    part["type"] = "refusal";
    part["refusal"] = d.text;
  } else {
    Json text = Json::object();
    if (!d.text.empty() || d.annotations.empty()) text["value"] = d.text;
    if (d.first || !d.annotations.empty()) {
      Json annotations = Json::array();
      int index = d.annotation_index;
      for (const Annotation& annotation : d.annotations) {
        Json one = {{"index", index++}};
        one.update(Of(annotation, view));
        annotations.push_back(std::move(one));
      }
      text["annotations"] = annotations;
    }
    part["type"] = "text";
    part["text"] = text;
  }
  return {
      {"id", d.message_id.value}, {"object", "thread.message.delta"}, {"delta", {{"content", Json::array({part})}}}};
}

Json CodeDeltaOf(const StepDelta& d) {
  Json code = Json::object();
  const bool first = !d.call_id.empty();
  if (first || !d.code.empty()) code["input"] = d.code;
  if (first || !d.outputs.empty()) {
    code["outputs"] = Json::array();
    int index = d.output_index;
    for (const CodeOutput& output : d.outputs) {
      Json one = {{"index", index++}};
      one.update(Of(output));
      code["outputs"].push_back(std::move(one));
    }
  }
  return code;
}

Json FunctionDeltaOf(const StepDelta& d) {
  Json function = Json::object();
  if (!d.function_name.empty()) function["name"] = d.function_name;
  function["arguments"] = d.arguments;
  if (!d.call_id.empty()) function["output"] = nullptr;
  return function;
}

Json Of(const StepDelta& d, const View& view) {
  Json call = {{"index", d.index}};
  if (!d.call_id.empty()) call["id"] = d.call_id.value;
  if (d.kind == ToolKind::kCodeInterpreter) {
    call["type"] = "code_interpreter";
    call["code_interpreter"] = CodeDeltaOf(d);
  } else if (d.kind == ToolKind::kFunction) {
    call["type"] = "function";
    call["function"] = FunctionDeltaOf(d);
  } else if (view.version == ApiVersion::kV1) {
    call["type"] = "retrieval";
    call["retrieval"] = Json::object();
  } else {
    call["type"] = "file_search";
    call["file_search"] = {{"ranking_options", Of(d.ranking, false)}, {"results", Json::array()}};
  }
  return {{"id", d.step_id.value},
          {"object", "thread.run.step.delta"},
          {"delta", {{"step_details", {{"type", "tool_calls"}, {"tool_calls", Json::array({call})}}}}}};
}

std::string_view NameOf(RunEventKind kind) {
  switch (kind) {
    case RunEventKind::kThreadCreated:
      return "thread.created";
    case RunEventKind::kRunCreated:
      return "thread.run.created";
    case RunEventKind::kRunQueued:
      return "thread.run.queued";
    case RunEventKind::kRunInProgress:
      return "thread.run.in_progress";
    case RunEventKind::kRunRequiresAction:
      return "thread.run.requires_action";
    case RunEventKind::kRunCompleted:
      return "thread.run.completed";
    case RunEventKind::kRunIncomplete:
      return "thread.run.incomplete";
    case RunEventKind::kRunFailed:
      return "thread.run.failed";
    case RunEventKind::kRunCancelling:
      return "thread.run.cancelling";
    case RunEventKind::kRunCancelled:
      return "thread.run.cancelled";
    case RunEventKind::kRunExpired:
      return "thread.run.expired";
    case RunEventKind::kStepCreated:
      return "thread.run.step.created";
    case RunEventKind::kStepInProgress:
      return "thread.run.step.in_progress";
    case RunEventKind::kStepDelta:
      return "thread.run.step.delta";
    case RunEventKind::kStepCompleted:
      return "thread.run.step.completed";
    case RunEventKind::kStepFailed:
      return "thread.run.step.failed";
    case RunEventKind::kStepCancelled:
      return "thread.run.step.cancelled";
    case RunEventKind::kStepExpired:
      return "thread.run.step.expired";
    case RunEventKind::kMessageCreated:
      return "thread.message.created";
    case RunEventKind::kMessageInProgress:
      return "thread.message.in_progress";
    case RunEventKind::kMessageDelta:
      return "thread.message.delta";
    case RunEventKind::kMessageCompleted:
      return "thread.message.completed";
    case RunEventKind::kMessageIncomplete:
      return "thread.message.incomplete";
    case RunEventKind::kError:
      break;
  }
  return "error";
}

}  // namespace

template <typename T>
std::string Render(const T& object, const View& view) {
  return Dump(Of(object, view));
}

template <typename T>
std::string RenderList(const std::vector<T>& items, bool has_more, const View& view) {
  Json data = Json::array();
  for (const T& item : items) data.push_back(Of(item, view));
  return Dump(List(std::move(data), has_more));
}

#define GATEWAY_RENDERED(type)                           \
  template std::string Render(const type&, const View&); \
  template std::string RenderList(const std::vector<type>&, bool, const View&)
GATEWAY_RENDERED(Assistant);
GATEWAY_RENDERED(Thread);
GATEWAY_RENDERED(Message);
GATEWAY_RENDERED(Run);
GATEWAY_RENDERED(RunStep);
GATEWAY_RENDERED(FileObject);
GATEWAY_RENDERED(VectorStore);
GATEWAY_RENDERED(VectorStoreFile);
GATEWAY_RENDERED(FileBatch);
#undef GATEWAY_RENDERED

std::string RenderDeleted(const std::string& id, const std::string& object) {
  return Dump({{"id", id}, {"object", object}, {"deleted", true}});
}

std::string RenderAssistantFile(const AssistantFile& file, const AssistantId& assistant) {
  return Dump(AssistantFileOf(file, assistant));
}

std::string RenderAssistantFiles(std::span<const AssistantFile> files, const AssistantId& assistant, bool has_more) {
  Json data = Json::array();
  for (const AssistantFile& file : files) data.push_back(AssistantFileOf(file, assistant));
  return Dump(List(std::move(data), has_more));
}

std::string RenderMessageFile(const FileId& file, const Message& message) { return Dump(MessageFileOf(file, message)); }

std::string RenderMessageFiles(std::span<const FileId> files, const Message& message, bool has_more) {
  Json data = Json::array();
  for (const FileId& file : files) data.push_back(MessageFileOf(file, message));
  return Dump(List(std::move(data), has_more));
}

std::string RenderFileText(const std::string& text) {
  return Dump({{"object", "vector_store.file_content.page"},
               {"data", Json::array({{{"type", "text"}, {"text", text}}})},
               {"has_more", false},
               {"next_page", nullptr}});
}

std::string RenderSearchPage(const std::vector<std::string>& queries, const std::vector<SearchResult>& results) {
  Json data = Json::array();
  for (const SearchResult& result : results) {
    data.push_back({{"file_id", result.file_id.value},
                    {"filename", result.file_name},
                    {"score", result.score},
                    {"attributes", Of(result.attributes)},
                    {"content", Json::array({{{"type", "text"}, {"text", result.passage}}})}});
  }
  return Dump({{"object", "vector_store.search_results.page"},
               {"search_query", queries},
               {"data", data},
               {"has_more", false},
               {"next_page", nullptr}});
}

EventText RenderEvent(const RunEvent& event, const View& view) {
  EventText text{.name = NameOf(event.kind), .data = ""};
  std::visit(
      [&](const auto& payload) {
        if constexpr (std::is_same_v<std::decay_t<decltype(payload)>, Error>) {
          text.data = RenderErrorData(payload);
        } else {
          text.data = Dump(Of(payload, view));
        }
      },
      event.payload);
  return text;
}

std::string FindModel(const std::string& models, const std::string& id) {
  Json list = Json::parse(models, nullptr, false);
  if (!list.is_object() || !list.contains("data") || !list["data"].is_array()) return "";
  for (const Json& model : list["data"]) {
    if (model.is_object() && model.contains("id") && model["id"] == id) return Dump(model);
  }
  return "";
}

std::string RenderKey(const ApiKey& key, const std::string& secret) {
  Json json = KeyOf(key);
  if (!secret.empty()) json["secret"] = secret;
  return Dump(json);
}

std::string RenderKeys(std::span<const ApiKey> keys) {
  Json data = Json::array();
  for (const ApiKey& key : keys) data.push_back(KeyOf(key));
  return Dump(List(std::move(data), false));
}

}  // namespace carrel::gateway::openai
