// The one table from what can be wrong to what the client is told.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "gateway/types/error.h"

namespace carrel::gateway::openai {

struct HttpError {
  int status = 500;
  std::string body;  // {"error": {"message", "type", "param", "code"}}
};

// A status without a payload of types/error.h is our own fault or a backend's: 500, or 503 when it can pass by itself.
HttpError RenderError(const absl::Status& status, const std::string& request_id);
// The same as the "data" of an error event.
std::string RenderErrorData(const Error& error);

}  // namespace carrel::gateway::openai
