// What every object's JSON is made of. Members stand in the order in which they are added: that of the reference.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "gateway/types/ids.h"
#include "gateway/types/values.h"

namespace carrel::gateway::openai::render {

using Json = nlohmann::ordered_json;

// One line; bytes that are not UTF-8 become U+FFFD.
inline std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

inline Json Seconds(absl::Time time) { return absl::ToUnixSeconds(time); }
inline Json Seconds(const std::optional<absl::Time>& time) {
  return time.has_value() ? Json(Seconds(*time)) : Json(nullptr);
}
template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value.has_value() ? Json(*value) : Json(nullptr);
}
template <typename Tag>
Json OrNull(const std::optional<Id<Tag>>& id) {
  return id.has_value() ? Json(id->value) : Json(nullptr);
}
// Free JSON of the client; what cannot be parsed was never stored.
inline Json Free(const JsonText& text, Json otherwise) {
  if (text.empty()) return otherwise;
  Json json = Json::parse(text.text, nullptr, false);
  return json.is_discarded() ? otherwise : json;
}

inline Json Of(const Metadata& metadata) {
  Json json = Json::object();
  for (const auto& [key, value] : metadata) json[key] = value;
  return json;
}

inline Json Of(const Attributes& attributes) {
  Json json = Json::object();
  for (const auto& [key, value] : attributes) {
    json[key] = std::visit([](const auto& held) { return Json(held); }, value);
  }
  return json;
}

template <typename Tag>
Json Of(const std::vector<Id<Tag>>& ids) {
  Json json = Json::array();
  for (const Id<Tag>& id : ids) json.push_back(id.value);
  return json;
}

// {"object": "list", …} around objects that have ids.
inline Json List(Json data, bool has_more) {
  Json first = data.empty() ? Json(nullptr) : data.front()["id"];
  Json last = data.empty() ? Json(nullptr) : data.back()["id"];
  return {{"object", "list"},
          {"data", std::move(data)},
          {"first_id", std::move(first)},
          {"last_id", std::move(last)},
          {"has_more", has_more}};
}

}  // namespace carrel::gateway::openai::render
