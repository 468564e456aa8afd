#include "gateway/openai/responses.h"

#include "objects.h"

namespace carrel::gateway::openai {
namespace {

using render::Dump;
using render::Json;
using render::List;
using render::Seconds;

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

}  // namespace

template <typename T>
std::string Render(const T& object, const View& view) {
  return Dump(render::Of(object, view));
}

template <typename T>
std::string RenderList(const std::vector<T>& items, bool has_more, const View& view) {
  Json data = Json::array();
  for (const T& item : items) data.push_back(render::Of(item, view));
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

std::string RenderServer(const ServerFacts& facts) {
  const auto text = [](const std::string& value) { return value.empty() ? Json(nullptr) : Json(value); };
  return Dump({{"object", "carrel.server"},
               {"version", facts.version},
               {"grpc", text(facts.grpc)},
               {"model", {{"configured", !facts.model_host.empty()}, {"host", text(facts.model_host)}}}});
}

std::string RenderCitation(const Citation& citation) { return Dump(render::CitationOf(citation)); }

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
