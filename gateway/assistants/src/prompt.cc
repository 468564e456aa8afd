#include "gateway/assistants/prompt.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gateway/tools/definitions.h"

namespace carrel::gateway {
namespace {

constexpr int64_t kTokensPerMessage = 4;
constexpr int64_t kTokensPerImage = 800;
// Left free for the answer, when the run does not say how long it may be.
constexpr int64_t kAnswerTokens = 4096;

int64_t EstimateMessage(const ChatMessage& message) {
  int64_t tokens = kTokensPerMessage;
  for (const ChatPart& part : message.parts) {
    tokens += part.kind == ChatPart::Kind::kText ? EstimateTokens(part.text) : kTokensPerImage;
  }
  for (const ChatToolCall& call : message.tool_calls) {
    tokens += kTokensPerMessage + EstimateTokens(call.name) + EstimateTokens(call.arguments);
  }
  return tokens;
}

// The markers of old answers name passages that this conversation does not hold.
std::string WithoutCitations(const ContentPart& part) {
  std::string text = part.text;
  for (const Annotation& annotation : part.annotations) {
    if (annotation.kind != Annotation::Kind::kFileCitation || annotation.text.empty()) continue;
    for (std::size_t at = text.find(annotation.text); at != std::string::npos; at = text.find(annotation.text)) {
      text.erase(at, annotation.text.size());
    }
  }
  return text;
}

ChatMessage FromMessage(const Message& message, const PromptInputs& inputs) {
  ChatMessage chat;
  chat.role = message.role == Role::kUser ? ChatMessage::Role::kUser : ChatMessage::Role::kAssistant;
  for (const ContentPart& part : message.content) {
    switch (part.kind) {
      case ContentPart::Kind::kText:
      case ContentPart::Kind::kRefusal:
        if (!part.text.empty()) chat.parts.push_back({.text = WithoutCitations(part)});
        break;
      case ContentPart::Kind::kImageUrl:
        chat.parts.push_back({.kind = ChatPart::Kind::kImageUrl, .image_url = part.image_url, .detail = part.detail});
        break;
      case ContentPart::Kind::kImageFile: {
        const auto image = inputs.images.find(part.image_file);
        // Models take images from users only.
        if (image != inputs.images.end() && message.role == Role::kUser) {
          chat.parts.push_back({.kind = ChatPart::Kind::kImageUrl, .image_url = image->second, .detail = part.detail});
        } else {
          chat.parts.push_back({.text = absl::StrCat("[image ", part.image_file.value, "]")});
        }
        break;
      }
    }
  }
  return chat;
}

std::vector<FunctionTool> FunctionsOf(const Run& run, const PromptInputs& inputs) {
  std::vector<FunctionTool> functions;
  for (const Tool& tool : run.tools) {
    switch (tool.kind) {
      case ToolKind::kFunction:
        functions.push_back(tool.function);
        break;
      case ToolKind::kCodeInterpreter: {
        std::vector<std::pair<FileId, std::string>> files;
        for (const MountedFile& file : inputs.files) files.emplace_back(file.id, file.name);
        functions.push_back(CodeToolDefinition(files));
        break;
      }
      case ToolKind::kFileSearch:
        functions.push_back(SearchToolDefinition());
        break;
    }
  }
  return functions;
}

int64_t EstimateFunctions(const std::vector<FunctionTool>& functions) {
  int64_t tokens = 0;
  for (const FunctionTool& function : functions) {
    tokens += kTokensPerMessage + EstimateTokens(function.name) + EstimateTokens(function.description.value_or("")) +
              EstimateTokens(function.parameters.text);
  }
  return tokens;
}

}  // namespace

int64_t EstimateTokens(std::string_view text) {
  int64_t ascii = 0;
  int64_t others = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      ++ascii;
    } else if (byte >= 0xC0) {
      ++others;
    }
  }
  return (ascii + 3) / 4 + others;
}

Prompt BuildPrompt(const Run& run, const PromptInputs& inputs, const std::vector<ChatMessage>& turns, bool first,
                   const PromptLimits& limits) {
  Prompt prompt;
  ChatRequest& request = prompt.request;
  request.model = run.model;
  request.temperature = run.temperature;
  request.top_p = run.top_p;
  request.reasoning_effort = run.reasoning_effort;
  request.response_format = run.response_format;
  request.parallel_tool_calls = run.parallel_tool_calls;
  request.tools = FunctionsOf(run, inputs);
  const bool may_force = first || run.tool_choice.kind == ToolChoice::Kind::kNone;
  request.tool_choice = may_force ? run.tool_choice : ToolChoice{};
  if (run.max_completion_tokens.has_value()) {
    request.max_completion_tokens = std::max<int64_t>(1, *run.max_completion_tokens - limits.used.completion_tokens);
  }

  std::vector<ChatMessage> history;
  for (const Message& message : inputs.history) {
    ChatMessage chat = FromMessage(message, inputs);
    if (!chat.parts.empty()) history.push_back(std::move(chat));
  }
  int64_t fixed = EstimateFunctions(request.tools);
  if (!run.instructions.empty()) {
    request.messages.push_back({.role = ChatMessage::Role::kSystem, .parts = {{.text = run.instructions}}});
    fixed += EstimateMessage(request.messages.back());
  }
  for (const ChatMessage& turn : turns) fixed += EstimateMessage(turn);

  int64_t room =
      limits.window_tokens - request.max_completion_tokens.value_or(std::min(kAnswerTokens, limits.window_tokens / 4));
  if (run.max_prompt_tokens.has_value()) {
    room = std::min(room, *run.max_prompt_tokens - limits.used.prompt_tokens);
  }
  std::size_t wanted = history.size();
  if (run.truncation.last_messages.has_value()) {
    wanted = std::min(wanted, static_cast<std::size_t>(std::max(1, *run.truncation.last_messages)));
  }
  // The newest first; the last message always goes along, or there would be no question.
  std::size_t kept = 0;
  prompt.estimated_tokens = fixed;
  while (kept < wanted) {
    const int64_t tokens = EstimateMessage(history[history.size() - 1 - kept]);
    if (kept > 0 && prompt.estimated_tokens + tokens > room) break;
    prompt.estimated_tokens += tokens;
    ++kept;
  }
  prompt.too_long = run.max_prompt_tokens.has_value() && prompt.estimated_tokens > room;
  std::move(history.end() - static_cast<std::ptrdiff_t>(kept), history.end(), std::back_inserter(request.messages));
  request.messages.insert(request.messages.end(), turns.begin(), turns.end());
  return prompt;
}

}  // namespace carrel::gateway
