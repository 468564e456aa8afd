// The built-in tools as functions that a chat model can call.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "gateway/types/ids.h"
#include "gateway/types/tool.h"

namespace carrel::gateway {

// `files`: what the code finds at /mnt/data/<id>, with the name that the user knows it by.
[[nodiscard]] FunctionTool CodeToolDefinition(const std::vector<std::pair<FileId, std::string>>& files);
[[nodiscard]] FunctionTool SearchToolDefinition();

}  // namespace carrel::gateway
