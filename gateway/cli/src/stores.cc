#include "stores.h"

#include "cli/console.h"
#include "strings.h"

namespace carrel::cli {

absl::StatusOr<Json> FindStore(ApiClient& api, const std::string& name_or_id) {
  if (name_or_id.starts_with("vs_")) {
    auto store = api.Get(StrCat("/v1/vector_stores/", EncodeUrl(name_or_id)));
    if (!absl::IsNotFound(store.status())) return store;
  }
  auto stores = api.List("/v1/vector_stores");
  if (!stores.ok()) return stores.status();
  std::vector<Json> named;
  for (Json& store : *stores) {
    if (Text(store, "name") == name_or_id) named.push_back(std::move(store));
  }
  if (named.size() == 1) return std::move(named.front());
  if (named.empty()) return absl::NotFoundError(StrCat("there is no store ", SafeText(name_or_id, false)));
  std::string ids;
  for (const Json& store : named) StrAppend(&ids, ids.empty() ? "" : ", ", Text(store, "id"));
  return absl::InvalidArgumentError(
      StrCat(named.size(), " stores are named ", SafeText(name_or_id, false), ": say which by id: ", ids));
}

absl::StatusOr<Json> CreateStore(ApiClient& api, const std::string& name) {
  return api.Post("/v1/vector_stores", {{"name", name}});
}

std::string StorePath(const Json& store, const std::string& rest) {
  return StrCat("/v1/vector_stores/", EncodeUrl(Text(store, "id")), rest);
}

absl::StatusOr<std::vector<Json>> FilesOfStore(ApiClient& api, const Json& store) {
  return api.List(StorePath(store, "/files"), "order=asc");
}

absl::StatusOr<Json> FileNamed(const std::vector<Json>& files, const std::string& wanted) {
  std::vector<const Json*> named;
  for (const Json& file : files) {
    if (Text(file, "id") == wanted || Text(Below(file, "x_carrel"), "filename") == wanted ||
        Text(Below(file, "attributes"), "path") == wanted) {
      named.push_back(&file);
    }
  }
  if (named.size() == 1) return *named.front();
  if (named.empty()) return absl::NotFoundError(StrCat("there is no document ", SafeText(wanted, false), " in it"));
  std::string all;
  for (const Json* file : named) StrAppend(&all, all.empty() ? "" : ", ", Text(*file, "id"));
  return absl::InvalidArgumentError(
      StrCat(named.size(), " documents are named ", SafeText(wanted, false), ": say which by id: ", all));
}

}  // namespace carrel::cli
