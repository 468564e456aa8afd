// Every route: method, path, and the function that answers it. No sockets here.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "gateway/http/server.h"
#include "message.h"

namespace carrel::gateway::http {

// What a route's body is.
enum class BodyKind {
  kJson,
  kFile,        // a form whose part "file" is streamed to the store
  kFileOrJson,  // either, by its content type
  kPart,        // a form whose part "data" is streamed to the store
};

struct Route {
  const char* method;
  // Below the base; {name} stands for one segment.
  const char* path;
  absl::StatusOr<Response> (*answer)(Api& api, Request& request);
  BodyKind body = BodyKind::kJson;
  // Only over the admin socket.
  bool admin = false;
};

// The path below the base: without /v1, /openai or /openai/v1.
std::string_view BelowBase(std::string_view path);

// The route of a request; fills request.ids. kUrlUnknown, or kMethodNotAllowed where the path exists; kIdPrefix for an
// id that cannot be one.
absl::StatusOr<const Route*> FindRoute(Request& request);

// v1 or v2: by the OpenAI-Beta header, else by Azure's api-version, else v2.
openai::ApiVersion VersionOf(std::string_view beta_header, std::string_view api_version);

}  // namespace carrel::gateway::http
