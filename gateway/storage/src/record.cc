#include "record.h"

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"

namespace carrel::gateway {
namespace {

using Json = nlohmann::json;

// --- the fields of each record: one list for both directions ---

template <typename V>
void Fields(V& v, JsonText& o) {
  v("text", o.text);
}
template <typename V>
void Fields(V& v, TokenUsage& o) {
  v("prompt", o.prompt_tokens), v("completion", o.completion_tokens), v("cached", o.cached_tokens);
  v("reasoning", o.reasoning_tokens);
}
template <typename V>
void Fields(V& v, LastError& o) {
  v("code", o.code), v("message", o.message);
}
template <typename V>
void Fields(V& v, FunctionTool& o) {
  v("name", o.name), v("description", o.description), v("parameters", o.parameters), v("strict", o.strict);
}
template <typename V>
void Fields(V& v, RankingOptions& o) {
  v("ranker", o.ranker), v("score_threshold", o.score_threshold), v("embedding_weight", o.embedding_weight);
  v("text_weight", o.text_weight), v("rrf_k", o.rrf_k);
}
template <typename V>
void Fields(V& v, FileSearchTool& o) {
  v("max_num_results", o.max_num_results), v("ranking", o.ranking);
}
template <typename V>
void Fields(V& v, Tool& o) {
  v("kind", o.kind), v("function", o.function), v("file_search", o.file_search);
}
template <typename V>
void Fields(V& v, ToolResources& o) {
  v("code_files", o.code_files), v("stores", o.stores);
}
template <typename V>
void Fields(V& v, CodeOutput& o) {
  v("kind", o.kind), v("logs", o.logs), v("image", o.image);
}
template <typename V>
void Fields(V& v, WrittenFile& o) {
  v("path", o.path), v("file_id", o.file_id);
}
template <typename V>
void Fields(V& v, TextSpan& o) {
  v("begin", o.begin), v("end", o.end);
}
template <typename V>
void Fields(V& v, PageBox& o) {
  v("page", o.page), v("x_min", o.x_min), v("y_min", o.y_min), v("x_max", o.x_max), v("y_max", o.y_max);
}
template <typename V>
void Fields(V& v, Citation& o) {
  v("quote", o.quote), v("span", o.span), v("first_page", o.first_page), v("last_page", o.last_page);
  v("first_page_label", o.first_page_label), v("last_page_label", o.last_page_label), v("boxes", o.boxes);
  v("recognised", o.recognised);
}
template <typename V>
void Fields(V& v, ScoreParts& o) {
  v("vector_score", o.vector_score), v("vector_rank", o.vector_rank), v("text_score", o.text_score);
  v("text_rank", o.text_rank);
}
template <typename V>
void Fields(V& v, SearchResult& o) {
  v("store_id", o.store_id), v("file_id", o.file_id), v("file_name", o.file_name), v("score", o.score);
  v("parts", o.parts), v("attributes", o.attributes), v("passage", o.passage), v("passage_span", o.passage_span);
  v("heading", o.heading), v("citations", o.citations);
}
template <typename V>
void Fields(V& v, CodeUsage& o) {
  v("wall_ms", o.wall_ms), v("cpu_ms", o.cpu_ms), v("memory_peak_bytes", o.memory_peak_bytes);
  v("stdout_bytes", o.stdout_bytes), v("stderr_bytes", o.stderr_bytes), v("display_bytes", o.display_bytes);
  v("session_cpu_ms", o.session_cpu_ms);
}
template <typename V>
void Fields(V& v, CodeException& o) {
  v("name", o.name), v("value", o.value), v("traceback", o.traceback);
}
template <typename V>
void Fields(V& v, SkippedFile& o) {
  v("path", o.path), v("reason", o.reason);
}
template <typename V>
void Fields(V& v, Outcome& o) {
  v("kind", o.kind), v("message", o.message), v("exception", o.exception), v("exit_code", o.exit_code);
  v("signal", o.signal), v("limit", o.limit), v("limit_value", o.limit_value), v("limits_touched", o.limits_touched);
  v("state_kept", o.state_kept), v("usage", o.usage), v("skipped", o.skipped), v("removed", o.removed);
  v("isolation", o.isolation), v("weakened", o.weakened);
}
template <typename V>
void Fields(V& v, ToolCall& o) {
  v("id", o.id), v("kind", o.kind), v("code", o.code), v("code_outputs", o.code_outputs), v("ranking", o.ranking);
  v("search_results", o.search_results), v("function_name", o.function_name), v("arguments", o.arguments);
  v("output", o.output), v("written_files", o.written_files), v("ending", o.ending);
}
template <typename V>
void Fields(V& v, ToolChoice& o) {
  v("kind", o.kind), v("function_name", o.function_name);
}
template <typename V>
void Fields(V& v, ResponseFormat& o) {
  v("kind", o.kind), v("json_schema", o.json_schema);
}
template <typename V>
void Fields(V& v, AssistantFile& o) {
  v("file_id", o.file_id), v("created_at", o.created_at);
}
template <typename V>
void Fields(V& v, Assistant& o) {
  v("id", o.id), v("project", o.project), v("created_at", o.created_at), v("name", o.name);
  v("description", o.description), v("model", o.model), v("instructions", o.instructions), v("tools", o.tools);
  v("tool_resources", o.tool_resources), v("files", o.files), v("metadata", o.metadata);
  v("temperature", o.temperature), v("top_p", o.top_p), v("reasoning_effort", o.reasoning_effort);
  v("response_format", o.response_format);
}
template <typename V>
void Fields(V& v, Thread& o) {
  v("id", o.id), v("project", o.project), v("created_at", o.created_at), v("metadata", o.metadata);
  v("tool_resources", o.tool_resources);
}
template <typename V>
void Fields(V& v, Annotation& o) {
  v("kind", o.kind), v("text", o.text), v("start_index", o.start_index), v("end_index", o.end_index);
  v("file_id", o.file_id), v("citation", o.citation), v("score", o.score);
}
template <typename V>
void Fields(V& v, ContentPart& o) {
  v("kind", o.kind), v("text", o.text), v("annotations", o.annotations), v("image_file", o.image_file);
  v("image_url", o.image_url), v("detail", o.detail);
}
template <typename V>
void Fields(V& v, Attachment& o) {
  v("file_id", o.file_id), v("code_interpreter", o.code_interpreter), v("file_search", o.file_search);
}
template <typename V>
void Fields(V& v, Message& o) {
  v("id", o.id), v("project", o.project), v("thread_id", o.thread_id), v("created_at", o.created_at);
  v("status", o.status), v("incomplete_reason", o.incomplete_reason), v("completed_at", o.completed_at);
  v("incomplete_at", o.incomplete_at), v("role", o.role), v("content", o.content), v("assistant_id", o.assistant_id);
  v("run_id", o.run_id), v("attachments", o.attachments), v("metadata", o.metadata);
}
template <typename V>
void Fields(V& v, Truncation& o) {
  v("last_messages", o.last_messages);
}
template <typename V>
void Fields(V& v, Run& o) {
  v("id", o.id), v("project", o.project), v("thread_id", o.thread_id), v("assistant_id", o.assistant_id);
  v("created_at", o.created_at), v("status", o.status), v("started_at", o.started_at), v("expires_at", o.expires_at);
  v("cancelled_at", o.cancelled_at), v("failed_at", o.failed_at), v("completed_at", o.completed_at);
  v("required_calls", o.required_calls), v("last_error", o.last_error), v("incomplete_reason", o.incomplete_reason);
  v("model", o.model), v("instructions", o.instructions), v("tools", o.tools), v("tool_resources", o.tool_resources);
  v("files", o.files), v("metadata", o.metadata), v("temperature", o.temperature), v("top_p", o.top_p);
  v("reasoning_effort", o.reasoning_effort), v("max_completion_tokens", o.max_completion_tokens);
  v("max_prompt_tokens", o.max_prompt_tokens), v("truncation", o.truncation), v("tool_choice", o.tool_choice);
  v("parallel_tool_calls", o.parallel_tool_calls), v("response_format", o.response_format), v("usage", o.usage);
}
template <typename V>
void Fields(V& v, RunStep& o) {
  v("id", o.id), v("project", o.project), v("run_id", o.run_id), v("thread_id", o.thread_id);
  v("assistant_id", o.assistant_id), v("created_at", o.created_at), v("kind", o.kind), v("status", o.status);
  v("cancelled_at", o.cancelled_at), v("completed_at", o.completed_at), v("expired_at", o.expired_at);
  v("failed_at", o.failed_at), v("last_error", o.last_error), v("message_id", o.message_id);
  v("tool_calls", o.tool_calls), v("usage", o.usage);
}
template <typename V>
void Fields(V& v, Blob& o) {
  v("sha256", o.sha256), v("size_bytes", o.size_bytes);
}
template <typename V>
void Fields(V& v, FileObject& o) {
  v("id", o.id), v("project", o.project), v("created_at", o.created_at), v("expires_at", o.expires_at);
  v("filename", o.filename), v("purpose", o.purpose), v("blob", o.blob);
}
template <typename V>
void Fields(V& v, Chunking& o) {
  v("max_chunk_size_tokens", o.max_chunk_size_tokens), v("chunk_overlap_tokens", o.chunk_overlap_tokens);
}
template <typename V>
void Fields(V& v, VectorStore& o) {
  v("id", o.id), v("project", o.project), v("created_at", o.created_at), v("last_active_at", o.last_active_at);
  v("name", o.name), v("description", o.description), v("expires_after_days", o.expires_after_days);
  v("metadata", o.metadata), v("chunking", o.chunking), v("expired", o.expired), v("purged", o.purged);
}
template <typename V>
void Fields(V& v, StoreFileError& o) {
  v("code", o.code), v("message", o.message);
}
template <typename V>
void Fields(V& v, DocumentFacts& o) {
  v("pages", o.pages), v("characters", o.characters), v("passages", o.passages), v("verdict", o.verdict);
  v("message", o.message);
}
template <typename V>
void Fields(V& v, VectorStoreFile& o) {
  v("store_id", o.store_id), v("file_id", o.file_id), v("project", o.project), v("created_at", o.created_at);
  v("status", o.status), v("last_error", o.last_error), v("usage_bytes", o.usage_bytes), v("chunking", o.chunking);
  v("attributes", o.attributes), v("batch_id", o.batch_id), v("filename", o.filename), v("facts", o.facts);
}
template <typename V>
void Fields(V& v, FileBatch& o) {
  v("id", o.id), v("store_id", o.store_id), v("project", o.project), v("created_at", o.created_at);
  v("cancelled", o.cancelled);
}
template <typename V>
void Fields(V& v, CodeLimits& o) {
  v("wall_ms", o.wall_ms), v("cpu_ms", o.cpu_ms), v("memory_bytes", o.memory_bytes), v("processes", o.processes);
  v("workspace_bytes", o.workspace_bytes), v("workspace_files", o.workspace_files), v("output_bytes", o.output_bytes);
  v("display_bytes", o.display_bytes), v("artifacts", o.artifacts), v("artifact_bytes", o.artifact_bytes);
  v("cpu_millis", o.cpu_millis), v("session_cpu_ms", o.session_cpu_ms);
}
template <typename V>
void Fields(V& v, Container& o) {
  v("id", o.id), v("project", o.project), v("created_at", o.created_at), v("last_active_at", o.last_active_at);
  v("name", o.name), v("runtime", o.runtime), v("limits", o.limits), v("idle_ms", o.idle_ms);
  v("user_files", o.user_files);
}
template <typename V>
void Fields(V& v, FileUpload& o) {
  v("id", o.id), v("project", o.project), v("created_at", o.created_at), v("expires_at", o.expires_at);
  v("filename", o.filename), v("purpose", o.purpose), v("mime_type", o.mime_type), v("bytes", o.bytes);
  v("status", o.status), v("file_lives_s", o.file_lives_s), v("file_id", o.file_id);
}
template <typename V>
void Fields(V& v, UploadPart& o) {
  v("id", o.id), v("upload_id", o.upload_id), v("project", o.project), v("created_at", o.created_at);
  v("blob", o.blob);
}
template <typename V>
void Fields(V& v, ApiKey& o) {
  v("id", o.id), v("project", o.project), v("name", o.name), v("sha256", o.sha256), v("hint", o.hint);
  v("created_at", o.created_at), v("revoked_at", o.revoked_at);
}

// --- values ---

template <typename T>
struct IsId : std::false_type {};
template <typename Tag>
struct IsId<Id<Tag>> : std::true_type {};
template <typename T>
struct IsVector : std::false_type {};
template <typename T>
struct IsVector<std::vector<T>> : std::true_type {};
template <typename T>
struct IsMap : std::false_type {};
template <typename T>
struct IsMap<std::map<std::string, T>> : std::true_type {};

template <typename T>
Json ToJson(const T& value);

struct Writer {
  Json& json;
  template <typename T>
  void operator()(const char* name, T& value) {
    json[name] = ToJson(value);
  }
  template <typename T>
  void operator()(const char* name, std::optional<T>& value) {
    if (value.has_value()) json[name] = ToJson(*value);
  }
};

template <typename T>
Json ToJson(const T& value) {
  if constexpr (std::is_same_v<T, std::string> || std::is_arithmetic_v<T>) {
    return value;
  } else if constexpr (std::is_enum_v<T>) {
    return static_cast<int>(value);
  } else if constexpr (std::is_same_v<T, absl::Time>) {
    return absl::ToUnixMicros(value);
  } else if constexpr (IsId<T>::value) {
    return value.value;
  } else if constexpr (IsVector<T>::value) {
    Json list = Json::array();
    for (const auto& item : value) list.push_back(ToJson(item));
    return list;
  } else if constexpr (IsMap<T>::value) {
    Json map = Json::object();
    for (const auto& [key, item] : value) map[key] = ToJson(item);
    return map;
  } else if constexpr (std::is_same_v<T, AttributeValue>) {
    return std::visit([](const auto& held) { return Json(held); }, value);
  } else {
    Json object = Json::object();
    Writer writer{object};
    Fields(writer, const_cast<T&>(value));  // the writer only reads
    return object;
  }
}

template <typename T>
void FromJson(const Json& json, T& value);

struct Reader {
  const Json& json;
  template <typename T>
  void operator()(const char* name, T& value) {
    auto found = json.find(name);
    if (found != json.end()) FromJson(*found, value);
  }
  template <typename T>
  void operator()(const char* name, std::optional<T>& value) {
    auto found = json.find(name);
    if (found != json.end()) FromJson(*found, value.emplace());
  }
};

template <typename T>
void FromJson(const Json& json, T& value) {
  if constexpr (std::is_same_v<T, std::string> || std::is_arithmetic_v<T>) {
    value = json.get<T>();
  } else if constexpr (std::is_enum_v<T>) {
    value = static_cast<T>(json.get<int>());
  } else if constexpr (std::is_same_v<T, absl::Time>) {
    value = absl::FromUnixMicros(json.get<int64_t>());
  } else if constexpr (IsId<T>::value) {
    value = T(json.get<std::string>());
  } else if constexpr (IsVector<T>::value) {
    for (const Json& item : json) FromJson(item, value.emplace_back());
  } else if constexpr (IsMap<T>::value) {
    for (const auto& [key, item] : json.items()) FromJson(item, value[key]);
  } else if constexpr (std::is_same_v<T, AttributeValue>) {
    if (json.is_boolean()) {
      value = json.get<bool>();
    } else if (json.is_number()) {
      value = json.get<double>();
    } else {
      value = json.get<std::string>();
    }
  } else {
    Reader reader{json};
    Fields(reader, value);
  }
}

}  // namespace

template <typename T>
std::string Encode(const T& object) {
  // Bytes that are not UTF-8 are stopped at the edge; were one to come through, it becomes U+FFFD rather than an abort.
  return ToJson(object).dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <typename T>
absl::StatusOr<T> Decode(std::string_view body) {
  T object;
  try {
    FromJson(Json::parse(body), object);
  } catch (const Json::exception& e) {
    return absl::DataLossError(absl::StrCat("a row of the gateway's database cannot be read: ", e.what()));
  }
  return object;
}

#define GATEWAY_RECORD(type)                \
  template std::string Encode(const type&); \
  template absl::StatusOr<type> Decode(std::string_view)
GATEWAY_RECORD(Assistant);
GATEWAY_RECORD(Thread);
GATEWAY_RECORD(Message);
GATEWAY_RECORD(Run);
GATEWAY_RECORD(RunStep);
GATEWAY_RECORD(FileObject);
GATEWAY_RECORD(VectorStore);
GATEWAY_RECORD(VectorStoreFile);
GATEWAY_RECORD(FileBatch);
GATEWAY_RECORD(Container);
GATEWAY_RECORD(FileUpload);
GATEWAY_RECORD(UploadPart);
GATEWAY_RECORD(ApiKey);
#undef GATEWAY_RECORD

}  // namespace carrel::gateway
