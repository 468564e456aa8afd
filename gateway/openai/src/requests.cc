// Assistants, threads, messages and runs.
#include "gateway/openai/requests.h"

#include <utility>

#include "gateway/types/status_macros.h"
#include "request_parts.h"

namespace carrel::gateway::openai {
namespace {

constexpr size_t kNameMax = 256;
constexpr size_t kDescriptionMax = 512;
constexpr size_t kInstructionsMax = 256'000;
constexpr size_t kAssistantToolsMax = 128;
constexpr size_t kAssistantFilesMax = 20;
constexpr size_t kRunToolsMax = 20;
constexpr double kTokensMin = 256;
// Programs of v1's time used 16.
constexpr double kV1TokensMin = 1;

using Items = std::vector<std::pair<const Json*, std::string>>;

ToolChoice ReadToolChoice(ObjectReader& reader) {
  ToolChoice choice;
  const Json* value = reader.Find("tool_choice");
  if (value == nullptr) return choice;
  if (value->is_string()) {
    std::string word = reader.Choice("tool_choice", {"none", "auto", "required"}).value_or("auto");
    choice.kind = word == "none"       ? ToolChoice::Kind::kNone
                  : word == "required" ? ToolChoice::Kind::kRequired
                                       : ToolChoice::Kind::kAuto;
    return choice;
  }
  ObjectReader named(*value, reader.PathOf("tool_choice"), reader.error());
  if (named.Find("type") == nullptr) named.Missing("type");
  std::string type =
      named.Choice("type", {"function", "code_interpreter", "file_search", "retrieval"}).value_or("function");
  auto function = named.Object("function");
  if (type == "function") {
    choice.kind = ToolChoice::Kind::kFunction;
    if (function.has_value()) {
      choice.function_name = function->RequiredText("name");
    } else {
      named.Missing("function");
    }
  } else {
    choice.kind = type == "code_interpreter" ? ToolChoice::Kind::kCodeInterpreter : ToolChoice::Kind::kFileSearch;
  }
  named.Finish();
  return choice;
}

Truncation ReadTruncation(ObjectReader& reader) {
  Truncation truncation;
  auto object = reader.Object("truncation_strategy");
  if (!object.has_value()) return truncation;
  if (object->Find("type") == nullptr) object->Missing("type");
  std::string type = object->Choice("type", {"auto", "last_messages"}).value_or("auto");
  auto count = object->Integer("last_messages", {1, 1e9});
  if (type == "last_messages") {
    if (count.has_value()) {
      truncation.last_messages = static_cast<int>(*count);
    } else {
      object->Missing("last_messages");
    }
  }
  object->Finish();
  return truncation;
}

// What create-run and create-thread-and-run share; `stream` too.
bool ReadRun(ObjectReader& reader, ApiVersion version, NewRun& run) {
  run.assistant_id = AssistantId(reader.RequiredText("assistant_id"));
  run.model = reader.Text("model");
  run.instructions = reader.Text("instructions", kInstructionsMax);
  run.tools = ReadTools(reader, "tools", kRunToolsMax, version);
  run.metadata = reader.ReadMetadata(version).value_or(Metadata());
  run.temperature = reader.Number("temperature", {0, 2});
  run.top_p = reader.Number("top_p", {0, 1});
  run.reasoning_effort = ReadReasoningEffort(reader);
  const double tokens_min = version == ApiVersion::kV1 ? kV1TokensMin : kTokensMin;
  run.max_prompt_tokens = reader.Integer("max_prompt_tokens", {tokens_min, 1e12});
  run.max_completion_tokens = reader.Integer("max_completion_tokens", {tokens_min, 1e12});
  run.truncation = ReadTruncation(reader);
  run.tool_choice = ReadToolChoice(reader);
  run.parallel_tool_calls = reader.Flag("parallel_tool_calls").value_or(true);
  run.response_format = ReadResponseFormat(reader);
  return reader.Flag("stream").value_or(false);
}

}  // namespace

absl::StatusOr<NewAssistant> ParseNewAssistant(std::string_view body, ApiVersion version) {
  return Parse(body, [version](ObjectReader& reader) {
    NewAssistant assistant;
    assistant.model = reader.RequiredText("model");
    assistant.name = reader.Text("name", kNameMax);
    assistant.description = reader.Text("description", kDescriptionMax);
    assistant.instructions = reader.Text("instructions", kInstructionsMax);
    assistant.tools = ReadTools(reader, "tools", kAssistantToolsMax, version).value_or(std::vector<Tool>());
    assistant.metadata = reader.ReadMetadata(version).value_or(Metadata());
    assistant.temperature = reader.Number("temperature", {0, 2});
    assistant.top_p = reader.Number("top_p", {0, 1});
    assistant.reasoning_effort = ReadReasoningEffort(reader);
    assistant.response_format = ReadResponseFormat(reader).value_or(ResponseFormat());
    if (version == ApiVersion::kV1) {
      auto files = reader.Texts("file_ids", kAssistantFilesMax);
      assistant.files = ToIds<FileId>(files.value_or(std::vector<std::string>()));
    } else if (auto read = ReadToolResources(reader, true)) {
      assistant.tool_resources = std::move(read->resources);
      assistant.store = std::move(read->store);
    }
    return assistant;
  });
}

absl::StatusOr<AssistantChange> ParseAssistantChange(std::string_view body, ApiVersion version) {
  return Parse(body, [version](ObjectReader& reader) {
    AssistantChange change;
    change.model = reader.Text("model");
    change.name = Changed(reader, "name", reader.Text("name", kNameMax));
    change.description = Changed(reader, "description", reader.Text("description", kDescriptionMax));
    change.instructions = Changed(reader, "instructions", reader.Text("instructions", kInstructionsMax));
    change.tools = ReadTools(reader, "tools", kAssistantToolsMax, version);
    change.metadata = reader.ReadMetadata(version);
    change.temperature = reader.Number("temperature", {0, 2});
    change.top_p = reader.Number("top_p", {0, 1});
    change.reasoning_effort = Changed(reader, "reasoning_effort", ReadReasoningEffort(reader));
    change.response_format = ReadResponseFormat(reader);
    if (version == ApiVersion::kV1) {
      auto files = reader.Texts("file_ids", kAssistantFilesMax);
      if (files.has_value()) change.files = ToIds<FileId>(*files);
    } else if (auto read = ReadToolResources(reader, false)) {
      change.tool_resources = std::move(read->resources);
    }
    return change;
  });
}

absl::StatusOr<FileId> ParseAssistantFile(std::string_view body) {
  return Parse(body, [](ObjectReader& reader) { return FileId(reader.RequiredText("file_id")); });
}

absl::StatusOr<NewThread> ParseNewThread(std::string_view body, ApiVersion version) {
  return Parse(body, [version](ObjectReader& reader) { return ReadThread(reader, version); });
}

absl::StatusOr<ThreadChange> ParseThreadChange(std::string_view body, ApiVersion version) {
  return Parse(body, [version](ObjectReader& reader) {
    ThreadChange change;
    change.metadata = reader.ReadMetadata(version);
    if (version == ApiVersion::kV2) {
      if (auto read = ReadToolResources(reader, false)) change.tool_resources = std::move(read->resources);
    }
    return change;
  });
}

absl::StatusOr<NewMessage> ParseNewMessage(std::string_view body, ApiVersion version) {
  return Parse(body, [version](ObjectReader& reader) { return ReadMessage(reader, version); });
}

absl::StatusOr<std::optional<Metadata>> ParseMetadataChange(std::string_view body, ApiVersion version) {
  return Parse(body, [version](ObjectReader& reader) { return reader.ReadMetadata(version); });
}

absl::StatusOr<RunRequest> ParseNewRun(std::string_view body, ApiVersion version) {
  return Parse(body, [version](ObjectReader& reader) {
    RunRequest request;
    request.stream = ReadRun(reader, version, request.run);
    request.run.additional_instructions = reader.Text("additional_instructions", kInstructionsMax);
    request.run.additional_messages = ReadMessages(reader, "additional_messages", version);
    return request;
  });
}

absl::StatusOr<ThreadRunRequest> ParseNewThreadRun(std::string_view body, ApiVersion version) {
  return Parse(body, [version](ObjectReader& reader) {
    ThreadRunRequest request;
    request.stream = ReadRun(reader, version, request.run);
    if (auto thread = reader.Object("thread")) request.thread = ReadThread(*thread, version);
    if (version == ApiVersion::kV2) {
      if (auto read = ReadToolResources(reader, false)) request.run.tool_resources = std::move(read->resources);
    }
    return request;
  });
}

absl::StatusOr<ToolOutputsRequest> ParseToolOutputs(std::string_view body) {
  return Parse(body, [](ObjectReader& reader) {
    ToolOutputsRequest request;
    auto items = reader.Array("tool_outputs");
    if (!items.has_value()) reader.Missing("tool_outputs");
    for (const auto& [value, path] : items.value_or(Items())) {
      ObjectReader output(*value, path, reader.error());
      request.outputs.push_back(
          {.call_id = CallId(output.Text("tool_call_id").value_or("")), .output = output.Text("output").value_or("")});
      output.Finish();
    }
    request.stream = reader.Flag("stream").value_or(false);
    return request;
  });
}

}  // namespace carrel::gateway::openai
