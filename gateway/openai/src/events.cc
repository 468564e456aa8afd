// What happens in a run, as server-sent events have it.
#include <type_traits>
#include <variant>

#include "gateway/openai/errors.h"
#include "objects.h"

namespace carrel::gateway::openai {
namespace render {

Json Of(const MessageDelta& d, const View& view) {
  Json part = {{"index", d.index}};
  if (d.kind == ContentPart::Kind::kImageFile) {
    part["type"] = "image_file";
    part["image_file"] = {{"file_id", d.image_file.value}};
  } else if (d.kind == ContentPart::Kind::kRefusal) {
    part["type"] = "refusal";
    part["refusal"] = d.text;
  } else {
    Json text = Json::object();
    if (!d.text.empty() || d.annotations.empty()) text["value"] = d.text;
    if (d.first || !d.annotations.empty()) {
      Json annotations = Json::array();
      int index = d.annotation_index;
      for (const Annotation& annotation : d.annotations) {
        Json one = {{"index", index++}};
        one.update(Of(annotation, view));
        annotations.push_back(std::move(one));
      }
      text["annotations"] = annotations;
    }
    part["type"] = "text";
    part["text"] = text;
  }
  return {
      {"id", d.message_id.value}, {"object", "thread.message.delta"}, {"delta", {{"content", Json::array({part})}}}};
}

namespace {

Json CodeDeltaOf(const StepDelta& d) {
  Json code = Json::object();
  const bool first = !d.call_id.empty();
  if (first || !d.code.empty()) code["input"] = d.code;
  if (first || !d.outputs.empty()) {
    code["outputs"] = Json::array();
    int index = d.output_index;
    for (const CodeOutput& output : d.outputs) {
      Json one = {{"index", index++}};
      one.update(Of(output));
      code["outputs"].push_back(std::move(one));
    }
  }
  return code;
}

Json FunctionDeltaOf(const StepDelta& d) {
  Json function = Json::object();
  if (!d.function_name.empty()) function["name"] = d.function_name;
  function["arguments"] = d.arguments;
  if (!d.call_id.empty()) function["output"] = nullptr;
  return function;
}

}  // namespace

Json Of(const StepDelta& d, const View& view) {
  Json call = {{"index", d.index}};
  if (!d.call_id.empty()) call["id"] = d.call_id.value;
  if (d.kind == ToolKind::kCodeInterpreter) {
    call["type"] = "code_interpreter";
    call["code_interpreter"] = CodeDeltaOf(d);
  } else if (d.kind == ToolKind::kFunction) {
    call["type"] = "function";
    call["function"] = FunctionDeltaOf(d);
  } else if (view.version == ApiVersion::kV1) {
    call["type"] = "retrieval";
    call["retrieval"] = Json::object();
  } else {
    call["type"] = "file_search";
    call["file_search"] = {{"ranking_options", Of(d.ranking, false)}, {"results", Json::array()}};
  }
  return {{"id", d.step_id.value},
          {"object", "thread.run.step.delta"},
          {"delta", {{"step_details", {{"type", "tool_calls"}, {"tool_calls", Json::array({call})}}}}}};
}

namespace {

std::string_view NameOf(RunEventKind kind) {
  switch (kind) {
    case RunEventKind::kThreadCreated:
      return "thread.created";
    case RunEventKind::kRunCreated:
      return "thread.run.created";
    case RunEventKind::kRunQueued:
      return "thread.run.queued";
    case RunEventKind::kRunInProgress:
      return "thread.run.in_progress";
    case RunEventKind::kRunRequiresAction:
      return "thread.run.requires_action";
    case RunEventKind::kRunCompleted:
      return "thread.run.completed";
    case RunEventKind::kRunIncomplete:
      return "thread.run.incomplete";
    case RunEventKind::kRunFailed:
      return "thread.run.failed";
    case RunEventKind::kRunCancelling:
      return "thread.run.cancelling";
    case RunEventKind::kRunCancelled:
      return "thread.run.cancelled";
    case RunEventKind::kRunExpired:
      return "thread.run.expired";
    case RunEventKind::kStepCreated:
      return "thread.run.step.created";
    case RunEventKind::kStepInProgress:
      return "thread.run.step.in_progress";
    case RunEventKind::kStepDelta:
      return "thread.run.step.delta";
    case RunEventKind::kStepCompleted:
      return "thread.run.step.completed";
    case RunEventKind::kStepFailed:
      return "thread.run.step.failed";
    case RunEventKind::kStepCancelled:
      return "thread.run.step.cancelled";
    case RunEventKind::kStepExpired:
      return "thread.run.step.expired";
    case RunEventKind::kMessageCreated:
      return "thread.message.created";
    case RunEventKind::kMessageInProgress:
      return "thread.message.in_progress";
    case RunEventKind::kMessageDelta:
      return "thread.message.delta";
    case RunEventKind::kMessageCompleted:
      return "thread.message.completed";
    case RunEventKind::kMessageIncomplete:
      return "thread.message.incomplete";
    case RunEventKind::kError:
      break;
  }
  return "error";
}

}  // namespace

}  // namespace render

EventText RenderEvent(const RunEvent& event, const View& view) {
  EventText text{.name = render::NameOf(event.kind), .data = ""};
  std::visit(
      [&](const auto& payload) {
        if constexpr (std::is_same_v<std::decay_t<decltype(payload)>, Error>) {
          text.data = RenderErrorData(payload);
        } else {
          text.data = render::Dump(render::Of(payload, view));
        }
      },
      event.payload);
  return text;
}

}  // namespace carrel::gateway::openai
