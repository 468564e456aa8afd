// The chat model upstream: one completion, streamed, without holding a thread while the model thinks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/types/run.h"
#include "gateway/types/tool.h"
#include "gateway/types/values.h"

namespace carrel::gateway {

struct ChatPart {
  enum class Kind { kText, kImageUrl };
  Kind kind = Kind::kText;
  std::string text;
  std::string image_url;  // http(s) or a data: URL
  std::string detail;
};

struct ChatToolCall {
  std::string id;
  std::string name;
  std::string arguments;
};

struct ChatMessage {
  enum class Role { kSystem, kUser, kAssistant, kTool };
  Role role = Role::kUser;
  std::vector<ChatPart> parts;
  std::vector<ChatToolCall> tool_calls;  // kAssistant
  std::string tool_call_id;              // kTool
};

struct ChatRequest {
  std::string model;
  std::vector<ChatMessage> messages;
  std::vector<FunctionTool> tools;
  // The function that must be called has the name in tool_choice.function_name, built-in tools too.
  ToolChoice tool_choice;
  bool parallel_tool_calls = true;
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<int64_t> max_completion_tokens;
  std::optional<std::string> reasoning_effort;
  ResponseFormat response_format;
};

// A piece of a tool call; `id` and `name` are not empty in one piece only.
struct ChatToolDelta {
  int index = 0;
  std::string id;
  std::string name;
  std::string arguments;
};

struct ChatDelta {
  std::string text;
  std::string refusal;
  std::vector<ChatToolDelta> tool_calls;
};

struct ChatEnd {
  enum class Reason { kStop, kLength, kToolCalls, kContentFilter };
  Reason reason = Reason::kStop;
  std::optional<TokenUsage> usage;  // absent: the model did not say
};

// What a model's refusal to answer means for the run. Carried by the status that ends a call:
//   RESOURCE_EXHAUSTED   429 after all retries: rate_limit_exceeded
//   INVALID_ARGUMENT     the model refused the request (400, 404, 422): its words are the message
//   FAILED_PRECONDITION  no model is configured: the message says how to configure one
//   UNAUTHENTICATED      the model refused the key
//   UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL  could not be reached, did not answer in time, answered nonsense
class ChatListener {
 public:
  virtual ~ChatListener() = default;
  // In order, on an unspecified thread, never two at once; must not block.
  virtual void OnDelta(ChatDelta delta) = 0;
  // Exactly once, last; not after the call was destroyed.
  virtual void OnEnd(absl::StatusOr<ChatEnd> end) = 0;
};

// Destroying it cancels the call; no listener method runs once the destructor has returned. Not to be destroyed from
// within a listener's method.
class ChatCall {
 public:
  virtual ~ChatCall() = default;
};

// Thread-safe.
class ChatModel {
 public:
  virtual ~ChatModel() = default;
  // Returns at once. The call keeps the listener.
  virtual std::unique_ptr<ChatCall> Start(ChatRequest request, std::shared_ptr<ChatListener> listener) = 0;
  // The models there are, as the upstream's JSON ({"object": "list", "data": […]}). `done` is called once.
  virtual void ListModels(absl::AnyInvocable<void(absl::StatusOr<JsonText>)> done) = 0;
};

}  // namespace carrel::gateway
