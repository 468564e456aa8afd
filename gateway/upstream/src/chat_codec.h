// Chat completions as JSON: our request to text, the model's answer (chunks, or one whole completion) to deltas.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/ports/chat_model.h"

namespace carrel::gateway {

struct EncodeOptions {
  const std::map<std::string, std::string>* aliases = nullptr;
  // Some servers refuse the option that asks for usage in a stream.
  bool ask_for_usage = true;
};

// INVALID_ARGUMENT: a function's parameters or the response format are not JSON.
[[nodiscard]] absl::StatusOr<std::string> EncodeChatRequest(const ChatRequest& request, const EncodeOptions& options);

// Reads one answer. Forgiving where servers differ (absent or repeated ids, indexes and names, arguments as an object,
// a whole completion instead of a stream), strict where guessing would change what the model said. Not thread-safe.
class ChatDecoder final {
 public:
  // One chunk, or one whole completion. INTERNAL: it is not what a chat model answers. An error object inside is
  // returned as the status that ChatListener documents.
  [[nodiscard]] absl::StatusOr<ChatDelta> Decode(std::string_view json);
  // What ended the answer; nullopt: nothing has so far.
  [[nodiscard]] std::optional<ChatEnd> end() const;

 private:
  struct Call {
    bool has_id = false;
    bool has_name = false;
    std::string id;
  };

  template <class Json>
  absl::Status DecodeChoice(const Json& choice, ChatDelta& delta);
  template <class Json>
  absl::Status DecodeToolCall(const Json& call, ChatDelta& delta);

  std::vector<Call> calls_;
  std::optional<ChatEnd::Reason> reason_;
  std::optional<TokenUsage> usage_;
};

// What an answer other than 200 means: the status that ChatListener documents, with the model's own words.
[[nodiscard]] absl::Status DecodeFailure(int http_status, std::string_view body);

// Whether the model says that paying, not waiting, would help: then 429 is not tried again.
[[nodiscard]] bool IsQuotaExhausted(std::string_view body);

}  // namespace carrel::gateway
