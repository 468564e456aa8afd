#include "chat_codec.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/types/tool_choice_word.h"

namespace carrel::gateway {
namespace {

using Json = nlohmann::json;

constexpr int kToolCallsMax = 128;

absl::Status Nonsense(const std::string& why) {
  return absl::InternalError(absl::StrCat("the model's answer is not a chat completion: ", why));
}

// Text of any bytes, as valid JSON: what is not UTF-8 becomes U+FFFD.
std::string Dump(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

const char* RoleName(ChatMessage::Role role) {
  switch (role) {
    case ChatMessage::Role::kSystem:
      return "system";
    case ChatMessage::Role::kUser:
      return "user";
    case ChatMessage::Role::kAssistant:
      return "assistant";
    case ChatMessage::Role::kTool:
      return "tool";
  }
  return "user";
}

// One string where there is only text: not every server reads arrays.
Json EncodeContent(const std::vector<ChatPart>& parts) {
  const bool text_only =
      std::all_of(parts.begin(), parts.end(), [](const ChatPart& part) { return part.kind == ChatPart::Kind::kText; });
  if (text_only) {
    std::string text;
    for (const ChatPart& part : parts) {
      if (!text.empty()) text += '\n';
      text += part.text;
    }
    return text;
  }
  Json content = Json::array();
  for (const ChatPart& part : parts) {
    if (part.kind == ChatPart::Kind::kText) {
      content.push_back({{"type", "text"}, {"text", part.text}});
    } else {
      Json image = {{"url", part.image_url}};
      if (!part.detail.empty()) image["detail"] = part.detail;
      content.push_back({{"type", "image_url"}, {"image_url", std::move(image)}});
    }
  }
  return content;
}

Json EncodeMessage(const ChatMessage& message) {
  Json json = {{"role", RoleName(message.role)}};
  json["content"] = message.parts.empty() && !message.tool_calls.empty() ? Json(nullptr) : EncodeContent(message.parts);
  if (message.role == ChatMessage::Role::kTool) json["tool_call_id"] = message.tool_call_id;
  for (const ChatToolCall& call : message.tool_calls) {
    json["tool_calls"].push_back(
        {{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return json;
}

absl::StatusOr<Json> EncodeTool(const FunctionTool& tool) {
  Json function = {{"name", tool.name}};
  if (tool.description.has_value()) function["description"] = *tool.description;
  if (tool.strict.has_value()) function["strict"] = *tool.strict;
  if (!tool.parameters.empty()) {
    Json parameters = Json::parse(tool.parameters.text, nullptr, /*allow_exceptions=*/false);
    if (parameters.is_discarded()) {
      return absl::InvalidArgumentError(absl::StrCat("the parameters of function ", tool.name, " are not JSON"));
    }
    function["parameters"] = std::move(parameters);
  }
  return Json{{"type", "function"}, {"function", std::move(function)}};
}

// Built-in tools are functions to the model.
Json EncodeToolChoice(const ToolChoice& choice) {
  if (auto word = ToolChoiceWord(choice.kind); word.has_value()) return *std::move(word);
  const std::string name = choice.kind == ToolChoice::Kind::kCodeInterpreter ? kCodeToolName
                           : choice.kind == ToolChoice::Kind::kFileSearch    ? kSearchToolName
                                                                             : choice.function_name;
  return {{"type", "function"}, {"function", {{"name", name}}}};
}

absl::Status EncodeResponseFormat(const ResponseFormat& format, Json& body) {
  switch (format.kind) {
    case ResponseFormat::Kind::kAuto:
    case ResponseFormat::Kind::kText:
      break;
    case ResponseFormat::Kind::kJsonObject:
      body["response_format"] = {{"type", "json_object"}};
      break;
    case ResponseFormat::Kind::kJsonSchema: {
      Json schema = Json::parse(format.json_schema.text, nullptr, /*allow_exceptions=*/false);
      if (schema.is_discarded()) return absl::InvalidArgumentError("the schema of the response format is not JSON");
      body["response_format"] = {{"type", "json_schema"}, {"json_schema", std::move(schema)}};
      break;
    }
  }
  return absl::OkStatus();
}

// The member of an object, or null when it is absent or `json` is no object.
const Json& Member(const Json& json, const char* key) {
  static const Json null;
  if (!json.is_object()) return null;
  const auto found = json.find(key);
  return found == json.end() ? null : *found;
}

int64_t Count(const Json& json, const char* key) {
  const Json& value = Member(json, key);
  return value.is_number() ? std::max<int64_t>(0, value.get<int64_t>()) : 0;
}

std::string Text(const Json& json, const char* key) {
  const Json& value = Member(json, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

// The words of an error body: {"error": {"message"}}, {"error": "…"}, {"message"}, {"detail"}; else its beginning.
std::string FailureText(std::string_view body) {
  constexpr std::size_t kLongest = 500;
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  std::string text;
  if (json.is_object()) {
    const Json& error = Member(json, "error");
    text = error.is_string() ? error.get<std::string>() : Text(error, "message");
    if (text.empty()) text = Text(json, "message");
    if (text.empty()) text = Text(json, "detail");
  }
  if (text.empty()) text = Dump(Json(std::string(body.substr(0, kLongest))));
  if (text.size() > kLongest) {
    std::size_t end = kLongest;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text.resize(end);
    text += "…";
  }
  return text;
}

}  // namespace

absl::StatusOr<std::string> EncodeChatRequest(const ChatRequest& request, const EncodeOptions& options) {
  Json body;
  body["model"] = request.model;
  if (options.aliases != nullptr) {
    if (const auto alias = options.aliases->find(request.model); alias != options.aliases->end()) {
      body["model"] = alias->second;
    }
  }
  body["messages"] = Json::array();
  for (const ChatMessage& message : request.messages) body["messages"].push_back(EncodeMessage(message));
  for (const FunctionTool& tool : request.tools) {
    auto encoded = EncodeTool(tool);
    if (!encoded.ok()) return encoded.status();
    body["tools"].push_back(*std::move(encoded));
  }
  if (!request.tools.empty()) {
    body["tool_choice"] = EncodeToolChoice(request.tool_choice);
    body["parallel_tool_calls"] = request.parallel_tool_calls;
  }
  if (request.temperature.has_value()) body["temperature"] = *request.temperature;
  if (request.top_p.has_value()) body["top_p"] = *request.top_p;
  if (request.max_completion_tokens.has_value()) body["max_completion_tokens"] = *request.max_completion_tokens;
  if (request.reasoning_effort.has_value()) body["reasoning_effort"] = *request.reasoning_effort;
  if (auto status = EncodeResponseFormat(request.response_format, body); !status.ok()) return status;
  body["stream"] = true;
  if (options.ask_for_usage) body["stream_options"] = {{"include_usage", true}};
  return Dump(body);
}

absl::StatusOr<ChatDelta> ChatDecoder::Decode(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return Nonsense("broken JSON");
  if (!json.is_object()) return Nonsense("an object was expected");
  if (const Json& error = Member(json, "error"); !error.is_null()) {
    const Json& code = Member(error, "code");
    return DecodeFailure(code.is_number_integer() ? code.get<int>() : 500, text);
  }
  if (const Json& usage = Member(json, "usage"); usage.is_object()) {
    usage_ = TokenUsage{.prompt_tokens = Count(usage, "prompt_tokens"),
                        .completion_tokens = Count(usage, "completion_tokens"),
                        .cached_tokens = Count(Member(usage, "prompt_tokens_details"), "cached_tokens"),
                        .reasoning_tokens = Count(Member(usage, "completion_tokens_details"), "reasoning_tokens")};
  }
  ChatDelta delta;
  const Json& choices = Member(json, "choices");
  if (!choices.is_array()) {
    // A first chunk with the results of a content filter, and chunks of usage alone, have none.
    if (!choices.is_null()) return Nonsense("\"choices\" is not an array");
    return delta;
  }
  if (choices.empty()) return delta;
  if (auto status = DecodeChoice(choices.front(), delta); !status.ok()) return status;
  return delta;
}

template <class J>
absl::Status ChatDecoder::DecodeChoice(const J& choice, ChatDelta& delta) {
  const Json& streamed = Member(choice, "delta");
  const Json& message = streamed.is_null() ? Member(choice, "message") : streamed;
  if (!message.is_null() && !message.is_object()) return Nonsense("\"delta\" is not an object");
  if (const Json& content = Member(message, "content"); content.is_string()) {
    delta.text = content.template get<std::string>();
  } else if (content.is_array()) {
    for (const Json& part : content) delta.text += Text(part, "text");
  } else if (!content.is_null()) {
    return Nonsense("\"content\" is not a string");
  }
  delta.refusal = Text(message, "refusal");
  if (const Json& calls = Member(message, "tool_calls"); calls.is_array()) {
    for (const Json& call : calls) {
      if (auto status = DecodeToolCall(call, delta); !status.ok()) return status;
    }
  } else if (!calls.is_null()) {
    return Nonsense("\"tool_calls\" is not an array");
  }
  if (const std::string reason = Text(choice, "finish_reason"); !reason.empty()) {
    reason_ = reason == "length"                                    ? ChatEnd::Reason::kLength
              : reason == "content_filter"                          ? ChatEnd::Reason::kContentFilter
              : reason == "tool_calls" || reason == "function_call" ? ChatEnd::Reason::kToolCalls
                                                                    : ChatEnd::Reason::kStop;
  }
  return absl::OkStatus();
}

template <class J>
absl::Status ChatDecoder::DecodeToolCall(const J& call, ChatDelta& delta) {
  const std::string id = Text(call, "id");
  const Json& index_value = Member(call, "index");
  int index = 0;
  if (index_value.is_number_integer()) {
    index = index_value.template get<int>();
  } else {
    // Without an index, a new id begins a new call, and a piece without an id belongs to the last one.
    const auto known =
        std::find_if(calls_.begin(), calls_.end(), [&](const Call& c) { return !id.empty() && c.id == id; });
    index = known != calls_.end()           ? static_cast<int>(known - calls_.begin())
            : !id.empty() || calls_.empty() ? static_cast<int>(calls_.size())
                                            : static_cast<int>(calls_.size()) - 1;
  }
  if (index < 0 || index >= kToolCallsMax) return Nonsense("a tool call's index is out of range");
  if (static_cast<std::size_t>(index) >= calls_.size()) calls_.resize(index + 1);
  Call& known = calls_[index];
  ChatToolDelta piece{.index = index};
  if (!id.empty() && !known.has_id) {
    piece.id = id;
    known.id = id;
    known.has_id = true;
  }
  const Json& function = Member(call, "function");
  if (const std::string name = Text(function, "name"); !name.empty() && !known.has_name) {
    piece.name = name;
    known.has_name = true;
  }
  const Json& arguments = Member(function, "arguments");
  piece.arguments = arguments.is_string() ? arguments.template get<std::string>()
                    : arguments.is_null() ? std::string()
                                          : Dump(arguments);
  delta.tool_calls.push_back(std::move(piece));
  return absl::OkStatus();
}

std::optional<ChatEnd> ChatDecoder::end() const {
  if (!reason_.has_value()) return std::nullopt;
  return ChatEnd{.reason = *reason_, .usage = usage_};
}

absl::Status DecodeFailure(int http_status, std::string_view body) {
  const std::string words = FailureText(body);
  switch (http_status) {
    case 401:
    case 403:
      return absl::UnauthenticatedError(absl::StrCat("the model refused the key (", http_status, "): ", words));
    case 429:
      return absl::ResourceExhaustedError(words);
    default:
      if (http_status >= 400 && http_status < 500) return absl::InvalidArgumentError(words);
      return absl::UnavailableError(absl::StrCat("the model failed (", http_status, "): ", words));
  }
}

bool IsQuotaExhausted(std::string_view body) { return body.find("insufficient_quota") != std::string_view::npos; }

}  // namespace carrel::gateway
