// The filter of a request, as the search tool takes it.
#pragma once

#include "gateway/openai/requests.h"
#include "gateway/ports/search_tool.h"

namespace carrel::gateway::http {

[[nodiscard]] SearchFilter FilterOf(const openai::Filter& filter);

}  // namespace carrel::gateway::http
