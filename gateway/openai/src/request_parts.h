// The parts that several requests share.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/openai/version.h"
#include "gateway/types/file.h"
#include "gateway/types/status_macros.h"
#include "gateway/types/thread.h"
#include "gateway/types/tool.h"
#include "json_reader.h"

namespace carrel::gateway::openai {

// The member `name` as tools; nullopt: absent.
std::optional<std::vector<Tool>> ReadTools(ObjectReader& reader, const char* name, size_t count_max,
                                           ApiVersion version);

struct ReadResources {
  ToolResources resources;
  std::optional<NewStore> store;  // file_search.vector_stores
};
// The member tool_resources; `create`: the vector_stores helper is allowed.
std::optional<ReadResources> ReadToolResources(ObjectReader& reader, bool create);

std::optional<ResponseFormat> ReadResponseFormat(ObjectReader& reader);
std::optional<std::string> ReadReasoningEffort(ObjectReader& reader);
std::optional<Chunking> ReadChunking(ObjectReader& reader);

// The objects themselves; each calls Finish.
NewMessage ReadMessage(ObjectReader& reader, ApiVersion version);
NewThread ReadThread(ObjectReader& reader, ApiVersion version);
std::vector<NewMessage> ReadMessages(ObjectReader& reader, const char* name, ApiVersion version);

template <typename IdType>
std::vector<IdType> ToIds(const std::vector<std::string>& texts) {
  std::vector<IdType> ids;
  for (const std::string& text : texts) ids.emplace_back(text);
  return ids;
}

// A nullable field of a change: absent, cleared, or set.
template <typename T>
std::optional<std::optional<T>> Changed(ObjectReader& reader, const char* name, std::optional<T> value) {
  if (!reader.Has(name)) return std::nullopt;
  return std::optional<std::optional<T>>(std::in_place, std::move(value));
}

// Reads `body` with `read`, which takes the reader and returns the request.
template <typename F>
auto Parse(std::string_view body, F read) -> absl::StatusOr<decltype(read(std::declval<ObjectReader&>()))> {
  GATEWAY_ASSIGN_OR_RETURN(Json json, ParseBody(body));
  absl::Status error;
  ObjectReader reader(json, "", error);
  auto result = read(reader);
  reader.Finish();
  if (!error.ok()) return error;
  return result;
}

}  // namespace carrel::gateway::openai
