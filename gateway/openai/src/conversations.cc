// Assistants, threads and messages.
#include <set>
#include <string>

#include "objects.h"

namespace carrel::gateway::openai::render {

namespace {

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

}  // namespace

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

Json Of(const Annotation& annotation, const View& view) {
  const bool citation = annotation.kind == Annotation::Kind::kFileCitation;
  Json json = {{"type", citation ? "file_citation" : "file_path"},
               {"text", annotation.text},
               {"start_index", annotation.start_index},
               {"end_index", annotation.end_index}};
  Json target = {{"file_id", annotation.file_id.value}};
  if (citation && view.version == ApiVersion::kV1) target["quote"] = annotation.citation.quote;
  json[citation ? "file_citation" : "file_path"] = target;
  if (citation && view.carrel) json["x_carrel"] = MoreOf(annotation);
  return json;
}

namespace {

Json ImageOf(const char* key, const std::string& value, const std::string& detail, const View& view) {
  Json json = {{key, value}};
  if (!detail.empty() && view.version == ApiVersion::kV2) json["detail"] = detail;
  return json;
}

}  // namespace

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

namespace {

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

}  // namespace

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

}  // namespace carrel::gateway::openai::render
