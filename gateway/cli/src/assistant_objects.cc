#include "assistant_objects.h"

#include <set>

#include "stores.h"
#include "strings.h"

namespace carrel::cli {

absl::StatusOr<Json> FindAssistant(ApiClient& api, const std::string& name_or_id) {
  if (name_or_id.starts_with("asst_")) {
    auto assistant = api.Get(StrCat("/v1/assistants/", EncodeUrl(name_or_id)));
    if (!absl::IsNotFound(assistant.status())) return assistant;
  }
  auto assistants = api.List("/v1/assistants");
  if (!assistants.ok()) return assistants.status();
  std::vector<Json> named;
  for (Json& assistant : *assistants) {
    if (Text(assistant, "name") == name_or_id) named.push_back(std::move(assistant));
  }
  if (named.size() == 1) return std::move(named.front());
  if (named.empty()) return absl::NotFoundError(StrCat("there is no assistant ", SafeText(name_or_id, false)));
  std::string ids;
  for (const Json& assistant : named) StrAppend(&ids, ids.empty() ? "" : ", ", Text(assistant, "id"));
  return absl::InvalidArgumentError(
      StrCat(named.size(), " assistants are named ", SafeText(name_or_id, false), ": say which by id: ", ids));
}

absl::StatusOr<Json> StoreIds(ApiClient& api, const std::vector<std::string>& stores) {
  Json ids = Json::array();
  for (const std::string& name : stores) {
    const auto store = FindStore(api, name);
    if (!store.ok()) return store.status();
    ids.push_back(Text(*store, "id"));
  }
  return ids;
}

absl::StatusOr<Json> CreateAssistant(ApiClient& api, const AssistantOptions& options) {
  if (options.model.empty()) {
    return absl::InvalidArgumentError(
        "--model is needed: the name of a model of the endpoint that Carrel is configured with");
  }
  std::set<std::string> names(options.tools.begin(), options.tools.end());
  if (!options.stores.empty()) names.insert("file_search");
  Json tools = Json::array();
  for (const std::string& name : names) {
    if (name != "code_interpreter" && name != "file_search") {
      return absl::InvalidArgumentError(
          StrCat("--tool is ", SafeText(name, false), ": expected code_interpreter or file_search"));
    }
    tools.push_back({{"type", name}});
  }
  Json body = {{"model", options.model}, {"tools", tools}};
  if (!options.name.empty()) body["name"] = options.name;
  if (!options.instructions.empty()) body["instructions"] = options.instructions;
  if (!options.stores.empty()) {
    const auto ids = StoreIds(api, options.stores);
    if (!ids.ok()) return ids.status();
    body["tool_resources"] = {{"file_search", {{"vector_store_ids", *ids}}}};
  }
  return api.Post("/v1/assistants", body);
}

}  // namespace carrel::cli
