// The chat model port over any OpenAI-compatible "chat completions" endpoint.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "gateway/ports/chat_model.h"
#include "gateway/upstream/options.h"

namespace carrel::gateway {

// One thread carries all calls, however many there are. INVALID_ARGUMENT when the options cannot be used. An empty
// base_url is no error: every call then ends with the sentence that says how to configure a model.
//
// Destroying the model ends its calls without a further word to their listeners.
[[nodiscard]] absl::StatusOr<std::unique_ptr<ChatModel>> MakeOpenAiChatModel(UpstreamOptions options);

}  // namespace carrel::gateway
