#include "request_parts.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace carrel::gateway::openai {
namespace {

constexpr size_t kFunctionNameMax = 64;
constexpr size_t kCodeFilesMax = 20;
constexpr size_t kV1MessageFilesMax = 10;
constexpr size_t kStoreFilesMax = 10'000;
constexpr size_t kContentLengthMax = 256'000;

bool IsFunctionName(const std::string& name) {
  return !name.empty() && name.size() <= kFunctionNameMax && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

FunctionTool ReadFunction(ObjectReader& reader) {
  FunctionTool function;
  function.name = reader.RequiredText("name");
  if (reader.error().ok() && function.name.size() > kFunctionNameMax) {
    reader.Fail(ErrorKind::kStringTooLong, reader.PathOf("name"),
                {absl::StrCat(kFunctionNameMax), absl::StrCat(LengthOf(function.name))});
  } else if (reader.error().ok() && !IsFunctionName(function.name)) {
    reader.Fail(ErrorKind::kInvalidRequest, reader.PathOf("name"),
                {absl::StrCat("Invalid '", reader.PathOf("name"),
                              "': string does not match pattern. Expected a string that matches the pattern "
                              "'^[a-zA-Z0-9_-]+$'.")});
  }
  function.description = reader.Text("description");
  if (const Json* parameters = reader.Find("parameters")) function.parameters.text = parameters->dump();
  function.strict = reader.Flag("strict");
  reader.Finish();
  return function;
}

FileSearchTool ReadFileSearch(ObjectReader& reader) {
  FileSearchTool tool;
  if (auto count = reader.Integer("max_num_results", {1, 50})) tool.max_num_results = static_cast<int>(*count);
  if (auto ranking = reader.Object("ranking_options")) {
    tool.ranking.ranker = ranking->Choice("ranker", {"auto", "default_2024_08_21"}).value_or(tool.ranking.ranker);
    tool.ranking.score_threshold = ranking->Number("score_threshold", {0, 1}).value_or(0);
    if (auto hybrid = ranking->Object("hybrid_search")) {
      tool.ranking.embedding_weight = hybrid->Number("embedding_weight", {0, 1e6});
      tool.ranking.text_weight = hybrid->Number("text_weight", {0, 1e6});
      hybrid->Finish();
    }
    ranking->Finish();
  }
  reader.Finish();
  return tool;
}

Tool ReadTool(const Json& value, const std::string& path, ApiVersion version, absl::Status& error) {
  ObjectReader reader(value, path, error);
  const bool v1 = version == ApiVersion::kV1;
  if (reader.Find("type") == nullptr) reader.Missing("type");
  std::string type = (v1 ? reader.Choice("type", {"code_interpreter", "retrieval", "function"})
                         : reader.Choice("type", {"code_interpreter", "function", "file_search"}))
                         .value_or("");
  Tool tool;
  if (type == "code_interpreter") {
    tool.kind = ToolKind::kCodeInterpreter;
  } else if (type == "retrieval" || type == "file_search") {
    tool.kind = ToolKind::kFileSearch;
    if (auto options = reader.Object("file_search")) tool.file_search = ReadFileSearch(*options);
    reader.Find("retrieval");
  } else {
    tool.kind = ToolKind::kFunction;
    auto function = reader.Object("function");
    if (function.has_value()) {
      tool.function = ReadFunction(*function);
    } else {
      reader.Missing("function");
    }
  }
  reader.Finish();
  return tool;
}

NewStore ReadHelperStore(ObjectReader& reader) {
  NewStore store;
  for (std::string& id : reader.Texts("file_ids", kStoreFilesMax).value_or(std::vector<std::string>())) {
    store.files.push_back({.file_id = FileId(std::move(id))});
  }
  store.chunking = ReadChunking(reader);
  store.metadata = reader.ReadMetadata(ApiVersion::kV2).value_or(Metadata());
  store.name = reader.Text("name");
  if (auto expiry = reader.Object("expires_after")) {
    expiry->Choice("anchor", {"last_active_at"});
    if (auto days = expiry->Integer("days", {1, 365})) store.expires_after_days = static_cast<int>(*days);
    expiry->Finish();
  }
  reader.Finish();
  return store;
}

ContentPart ReadPart(const Json& value, const std::string& path, absl::Status& error) {
  ObjectReader reader(value, path, error);
  if (reader.Find("type") == nullptr) reader.Missing("type");
  std::string type = reader.Choice("type", {"text", "image_url", "image_file"}).value_or("");
  ContentPart part;
  if (type == "text") {
    if (reader.Find("text") == nullptr) reader.Missing("text");
    part.text = reader.Text("text", kContentLengthMax).value_or("");
  } else if (type == "image_file") {
    part.kind = ContentPart::Kind::kImageFile;
    if (auto image = reader.Object("image_file")) {
      part.image_file = FileId(image->RequiredText("file_id"));
      part.detail = image->Choice("detail", {"auto", "low", "high"}).value_or("");
      image->Finish();
    } else {
      reader.Missing("image_file");
    }
  } else {
    part.kind = ContentPart::Kind::kImageUrl;
    if (auto image = reader.Object("image_url")) {
      part.image_url = image->RequiredText("url");
      part.detail = image->Choice("detail", {"auto", "low", "high"}).value_or("");
      image->Finish();
    } else {
      reader.Missing("image_url");
    }
  }
  reader.Finish();
  return part;
}

void ReadContent(ObjectReader& reader, ApiVersion version, NewMessage& message) {
  const Json* content = reader.Find("content");
  const std::string path = reader.PathOf("content");
  if (content == nullptr) return reader.Missing("content");
  if (content->is_string()) {
    message.content.push_back({.text = reader.Text("content", kContentLengthMax).value_or("")});
    if (message.content.front().text.empty()) {
      reader.Fail(ErrorKind::kInvalidRequest, path, {"Message content must be non-empty."});
    }
    return;
  }
  // v1 took only a string; its clients can send nothing else, and others may.
  const char* expected = version == ApiVersion::kV1 ? "a string" : "one of a string or an array of objects";
  if (!CheckType(*content, content->is_array(), expected, path, reader.error())) return;
  if (content->empty()) reader.Fail(ErrorKind::kArrayTooShort, path, {"1", "0"});
  for (size_t i = 0; i < content->size(); ++i) {
    message.content.push_back(ReadPart((*content)[i], absl::StrCat(path, "[", i, "]"), reader.error()));
  }
}

Attachment ReadAttachment(const Json& value, const std::string& path, absl::Status& error) {
  ObjectReader reader(value, path, error);
  Attachment attachment{.file_id = FileId(reader.RequiredText("file_id"))};
  auto tools = reader.Array("tools");
  if (!tools.has_value()) reader.Missing("tools");
  for (const auto& [tool, at] : tools.value_or(std::vector<std::pair<const Json*, std::string>>())) {
    ObjectReader kind(*tool, at, error);
    std::string type = kind.Choice("type", {"code_interpreter", "file_search"}).value_or("");
    (type == "file_search" ? attachment.file_search : attachment.code_interpreter) = true;
    kind.Finish();
  }
  reader.Finish();
  return attachment;
}

}  // namespace

std::optional<std::vector<Tool>> ReadTools(ObjectReader& reader, const char* name, size_t count_max,
                                           ApiVersion version) {
  auto items = reader.Array(name, count_max);
  if (!items.has_value()) return std::nullopt;
  std::vector<Tool> tools;
  for (const auto& [value, path] : *items) tools.push_back(ReadTool(*value, path, version, reader.error()));
  return tools;
}

std::optional<ReadResources> ReadToolResources(ObjectReader& reader, bool create) {
  auto object = reader.Object("tool_resources");
  if (!object.has_value()) return std::nullopt;
  ReadResources read;
  if (auto code = object->Object("code_interpreter")) {
    auto files = code->Texts("file_ids", kCodeFilesMax);
    read.resources.code_files = ToIds<FileId>(files.value_or(std::vector<std::string>()));
    code->Finish();
  }
  if (auto search = object->Object("file_search")) {
    auto stores = search->Texts("vector_store_ids", 1);
    if (stores.has_value()) read.resources.stores = ToIds<StoreId>(*stores);
    auto wanted = create ? search->Array("vector_stores", 1) : std::nullopt;
    for (const auto& [value, path] : wanted.value_or(std::vector<std::pair<const Json*, std::string>>())) {
      ObjectReader store(*value, path, reader.error());
      read.store = ReadHelperStore(store);
    }
    if (read.store.has_value() && stores.has_value() && !stores->empty()) {
      reader.Fail(ErrorKind::kInvalidRequest, search->PathOf("vector_stores"),
                  {"You cannot provide both vector_store_ids and vector_stores."});
    }
    search->Finish();
  }
  object->Finish();
  return read;
}

std::optional<ResponseFormat> ReadResponseFormat(ObjectReader& reader) {
  const Json* value = reader.Find("response_format");
  if (value == nullptr) return std::nullopt;
  const std::string path = reader.PathOf("response_format");
  if (value->is_string()) {
    reader.Choice("response_format", {"auto"});
    return ResponseFormat();
  }
  if (!CheckType(*value, value->is_object(), "one of a string or an object", path, reader.error())) {
    return std::nullopt;
  }
  ObjectReader format(*value, path, reader.error());
  ResponseFormat read;
  if (format.Find("type") == nullptr) format.Missing("type");
  std::string type = format.Choice("type", {"text", "json_object", "json_schema"}).value_or("text");
  read.kind = type == "text"          ? ResponseFormat::Kind::kText
              : type == "json_object" ? ResponseFormat::Kind::kJsonObject
                                      : ResponseFormat::Kind::kJsonSchema;
  auto schema = format.Object("json_schema");
  if (read.kind == ResponseFormat::Kind::kJsonSchema) {
    if (schema.has_value()) {
      schema->RequiredText("name", kFunctionNameMax);
      read.json_schema.text = format.Find("json_schema")->dump();
    } else {
      format.Missing("json_schema");
    }
  }
  format.Finish();
  return read;
}

std::optional<std::string> ReadReasoningEffort(ObjectReader& reader) {
  return reader.Choice("reasoning_effort", {"none", "minimal", "low", "medium", "high", "xhigh"});
}

std::optional<Chunking> ReadChunking(ObjectReader& reader) {
  auto object = reader.Object("chunking_strategy");
  if (!object.has_value()) return std::nullopt;
  if (object->Find("type") == nullptr) object->Missing("type");
  std::string type = object->Choice("type", {"auto", "static"}).value_or("auto");
  std::optional<Chunking> chunking;
  auto fixed = object->Object("static");
  if (type == "static" && !fixed.has_value()) object->Missing("static");
  if (type == "static" && fixed.has_value()) {
    if (fixed->Find("max_chunk_size_tokens") == nullptr) fixed->Missing("max_chunk_size_tokens");
    if (fixed->Find("chunk_overlap_tokens") == nullptr) fixed->Missing("chunk_overlap_tokens");
    int64_t size = fixed->Integer("max_chunk_size_tokens", {100, 4096}).value_or(800);
    int64_t overlap = fixed->Integer("chunk_overlap_tokens", {0, 4096}).value_or(0);
    if (overlap * 2 > size) {
      reader.Fail(ErrorKind::kInvalidRequest, fixed->PathOf("chunk_overlap_tokens"),
                  {"Invalid chunking strategy: chunk_overlap_tokens must not exceed half of max_chunk_size_tokens."});
    }
    chunking =
        Chunking{.max_chunk_size_tokens = static_cast<int>(size), .chunk_overlap_tokens = static_cast<int>(overlap)};
    fixed->Finish();
  }
  object->Finish();
  return chunking;
}

NewMessage ReadMessage(ObjectReader& reader, ApiVersion version) {
  NewMessage message;
  if (reader.Find("role") == nullptr) reader.Missing("role");
  message.role = reader.Choice("role", {"user", "assistant"}) == "assistant" ? Role::kAssistant : Role::kUser;
  ReadContent(reader, version, message);
  message.metadata = reader.ReadMetadata(version).value_or(Metadata());
  if (version == ApiVersion::kV1) {
    // v1 gave a message's files to every tool.
    for (std::string& id : reader.Texts("file_ids", kV1MessageFilesMax).value_or(std::vector<std::string>())) {
      message.attachments.push_back({.file_id = FileId(std::move(id)), .code_interpreter = true, .file_search = true});
    }
  } else {
    auto attachments = reader.Array("attachments");
    for (const auto& [value, path] : attachments.value_or(std::vector<std::pair<const Json*, std::string>>())) {
      message.attachments.push_back(ReadAttachment(*value, path, reader.error()));
    }
  }
  reader.Finish();
  return message;
}

std::vector<NewMessage> ReadMessages(ObjectReader& reader, const char* name, ApiVersion version) {
  std::vector<NewMessage> messages;
  auto items = reader.Array(name);
  for (const auto& [value, path] : items.value_or(std::vector<std::pair<const Json*, std::string>>())) {
    ObjectReader message(*value, path, reader.error());
    messages.push_back(ReadMessage(message, version));
  }
  return messages;
}

NewThread ReadThread(ObjectReader& reader, ApiVersion version) {
  NewThread thread;
  thread.messages = ReadMessages(reader, "messages", version);
  thread.metadata = reader.ReadMetadata(version).value_or(Metadata());
  if (version == ApiVersion::kV2) {
    if (auto read = ReadToolResources(reader, true)) {
      thread.tool_resources = std::move(read->resources);
      thread.store = std::move(read->store);
    }
  }
  reader.Finish();
  return thread;
}

}  // namespace carrel::gateway::openai
