// Runs and their steps.
#include "gateway/types/run_status_name.h"
#include "objects.h"

namespace carrel::gateway::openai::render {

Json Of(const std::optional<LastError>& error) {
  if (!error.has_value()) return nullptr;
  const char* code = error->code == LastError::Code::kServerError         ? "server_error"
                     : error->code == LastError::Code::kRateLimitExceeded ? "rate_limit_exceeded"
                                                                          : "invalid_prompt";
  return {{"code", code}, {"message", error->message}};
}

Json Of(const std::optional<TokenUsage>& usage) {
  if (!usage.has_value()) return nullptr;
  return {{"prompt_tokens", usage->prompt_tokens},
          {"completion_tokens", usage->completion_tokens},
          {"total_tokens", usage->total_tokens()},
          {"prompt_token_details", {{"cached_tokens", usage->cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", usage->reasoning_tokens}}}};
}

namespace {

Json RequiredActionOf(const Run& run) {
  if (run.status != RunStatus::kRequiresAction) return nullptr;
  Json calls = Json::array();
  for (const ToolCall& call : run.required_calls) {
    calls.push_back({{"id", call.id.value},
                     {"type", "function"},
                     {"function", {{"name", call.function_name}, {"arguments", call.arguments}}}});
  }
  return {{"type", "submit_tool_outputs"}, {"submit_tool_outputs", {{"tool_calls", calls}}}};
}

Json IncompleteOf(const Run& run) {
  if (!run.incomplete_reason.has_value()) return nullptr;
  bool prompt = *run.incomplete_reason == Run::IncompleteReason::kMaxPromptTokens;
  return {{"reason", prompt ? "max_prompt_tokens" : "max_completion_tokens"}};
}

}  // namespace

Json Of(const Run& r, const View& view) {
  const bool v1 = view.version == ApiVersion::kV1;
  Json json = {{"id", r.id.value},
               {"object", "thread.run"},
               {"created_at", Seconds(r.created_at)},
               {"assistant_id", r.assistant_id.value},
               {"thread_id", r.thread_id.value},
               {"status", RunStatusName(r.status)},
               {"started_at", Seconds(r.started_at)},
               {"expires_at", Seconds(r.expires_at)},
               {"cancelled_at", Seconds(r.cancelled_at)},
               {"failed_at", Seconds(r.failed_at)},
               {"completed_at", Seconds(r.completed_at)},
               {"required_action", RequiredActionOf(r)},
               {"last_error", Of(r.last_error)},
               {"model", r.model},
               {"instructions", r.instructions},
               {"tools", Of(r.tools, view)}};
  if (v1) {
    json["file_ids"] = Of(r.files);
  } else {
    json["tool_resources"] = Of(r.tool_resources);
  }
  json["metadata"] = Of(r.metadata);
  json["temperature"] = r.temperature;
  json["top_p"] = r.top_p;
  if (!v1) json["reasoning_effort"] = OrNull(r.reasoning_effort);
  json["max_completion_tokens"] = OrNull(r.max_completion_tokens);
  json["max_prompt_tokens"] = OrNull(r.max_prompt_tokens);
  json["truncation_strategy"] = {{"type", r.truncation.last_messages.has_value() ? "last_messages" : "auto"},
                                 {"last_messages", OrNull(r.truncation.last_messages)}};
  json["incomplete_details"] = IncompleteOf(r);
  json["usage"] = Of(r.usage);
  json["response_format"] = Of(r.response_format);
  json["tool_choice"] = Of(r.tool_choice);
  if (!v1) json["parallel_tool_calls"] = r.parallel_tool_calls;
  return json;
}

Json Of(const CodeOutput& output) {
  if (output.kind == CodeOutput::Kind::kLogs) return {{"type", "logs"}, {"logs", output.logs}};
  return {{"type", "image"}, {"image", {{"file_id", output.image.value}}}};
}

Json Of(const SearchResult& result, const View& view) {
  Json json = {{"file_id", result.file_id.value},
               {"file_name", result.file_name},
               {"score", result.score},
               {"attributes", Of(result.attributes)}};
  if (view.search_content) json["content"] = Json::array({{{"type", "text"}, {"text", result.passage}}});
  if (view.carrel) json["x_carrel"] = MoreOf(result);
  return json;
}

Json Of(const ToolCall& call, const View& view) {
  Json json = {{"id", call.id.value}};
  if (call.kind == ToolKind::kCodeInterpreter) {
    Json outputs = Json::array();
    for (const CodeOutput& output : call.code_outputs) outputs.push_back(Of(output));
    json["type"] = "code_interpreter";
    json["code_interpreter"] = {{"input", call.code}, {"outputs", outputs}};
    if (view.carrel && call.ending.has_value()) json["x_carrel"] = MoreOf(*call.ending);
  } else if (call.kind == ToolKind::kFunction) {
    json["type"] = "function";
    json["function"] = {{"name", call.function_name}, {"arguments", call.arguments}, {"output", OrNull(call.output)}};
  } else if (view.version == ApiVersion::kV1) {
    json["type"] = "retrieval";
    json["retrieval"] = Json::object();
  } else {
    Json results = Json::array();
    for (const SearchResult& result : call.search_results) results.push_back(Of(result, view));
    json["type"] = "file_search";
    json["file_search"] = {{"ranking_options", Of(call.ranking, false)}, {"results", results}};
  }
  return json;
}

namespace {

const char* NameOf(RunStep::Status status) {
  switch (status) {
    case RunStep::Status::kInProgress:
      return "in_progress";
    case RunStep::Status::kCancelled:
      return "cancelled";
    case RunStep::Status::kFailed:
      return "failed";
    case RunStep::Status::kCompleted:
      return "completed";
    case RunStep::Status::kExpired:
      break;
  }
  return "expired";
}

}  // namespace

Json Of(const RunStep& s, const View& view) {
  const bool message = s.kind == RunStep::Kind::kMessageCreation;
  Json details = {{"type", message ? "message_creation" : "tool_calls"}};
  if (message) {
    details["message_creation"] = {{"message_id", s.message_id.value}};
  } else {
    details["tool_calls"] = Json::array();
    for (const ToolCall& call : s.tool_calls) details["tool_calls"].push_back(Of(call, view));
  }
  return {{"id", s.id.value},
          {"object", "thread.run.step"},
          {"created_at", Seconds(s.created_at)},
          {"run_id", s.run_id.value},
          {"assistant_id", s.assistant_id.value},
          {"thread_id", s.thread_id.value},
          {"type", message ? "message_creation" : "tool_calls"},
          {"status", NameOf(s.status)},
          {"cancelled_at", Seconds(s.cancelled_at)},
          {"completed_at", Seconds(s.completed_at)},
          {"expires_at", nullptr},
          {"expired_at", Seconds(s.expired_at)},
          {"failed_at", Seconds(s.failed_at)},
          {"last_error", Of(s.last_error)},
          {"step_details", details},
          {"metadata", Json::object()},
          {"usage", Of(s.usage)}};
}

}  // namespace carrel::gateway::openai::render
