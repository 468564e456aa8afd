// What the model says: text with its annotations, and the tool calls it makes.
#include <algorithm>

#include "gateway/tools/tool_text.h"
#include "run_stepper.h"

namespace carrel::gateway {
namespace {

// How a call that failed is told to the run's owner.
LastError FromStatus(const absl::Status& status) {
  LastError error{.message = std::string(status.message())};
  if (absl::IsResourceExhausted(status)) error.code = LastError::Code::kRateLimitExceeded;
  if (absl::IsInvalidArgument(status)) error.code = LastError::Code::kInvalidPrompt;
  return error;
}

bool IsUsableId(const std::string& id) {
  return !id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
  });
}

}  // namespace

void RunStepper::On(ModelSaid input) {
  if (s_.phase != RunPhase::kModel || input.op != s_.op) return;
  std::size_t bytes = input.delta.text.size() + input.delta.refusal.size();
  for (const ChatToolDelta& piece : input.delta.tool_calls) bytes += piece.arguments.size() + piece.name.size();
  if (!CountBytes(bytes)) return;
  if (!input.delta.text.empty()) AddText(input.delta.text);
  if (!input.delta.refusal.empty()) AddRefusal(input.delta.refusal);
  for (ChatToolDelta& piece : input.delta.tool_calls) {
    AddCallPiece(std::move(piece));
    if (s_.IsOver()) return;
  }
}

bool RunStepper::CountBytes(std::size_t bytes) {
  s_.answer_bytes += bytes;
  if (s_.answer_bytes <= limits_.answer_bytes_max) return true;
  Fail({.message = "The model's answer is too long."});
  return false;
}

void RunStepper::On(ModelEnded input) {
  if (s_.phase != RunPhase::kModel || input.op != s_.op) return;
  if (!input.end.ok()) {
    Fail(FromStatus(input.end.status()));
    return;
  }
  if (input.end->usage.has_value()) {
    s_.turn_usage = *input.end->usage;
  } else {
    // About four bytes make a token; better than to say that the answer was free.
    s_.turn_usage = {.prompt_tokens = input.prompt_tokens_estimate,
                     .completion_tokens = static_cast<int64_t>((s_.answer_bytes + 3) / 4)};
  }
  s_.usage += s_.turn_usage;
  std::erase_if(s_.calls, [](const CallDraft& draft) {
    return draft.position < 0 && draft.arguments.empty() && draft.call.id.empty();
  });
  switch (input.end->reason) {
    case ChatEnd::Reason::kLength:
      EndIncomplete(Run::IncompleteReason::kMaxCompletionTokens);
      return;
    case ChatEnd::Reason::kContentFilter:
      if (s_.message.has_value()) {
        CloseMessage(Message::Status::kIncomplete, Message::IncompleteReason::kContentFilter);
      }
      Fail({.message = "The model's content filter ended the answer."});
      return;
    case ChatEnd::Reason::kStop:
    case ChatEnd::Reason::kToolCalls:
      break;
  }
  if (!s_.calls.empty()) {
    if (s_.message.has_value()) CloseMessage(Message::Status::kCompleted, std::nullopt);
    StartTools();
    return;
  }
  if (s_.tools_step.has_value()) {
    // Begun before a restart; asked again, the model preferred to answer.
    s_.tools_step->status = RunStep::Status::kCancelled;
    s_.tools_step->cancelled_at = now_;
    Event(RunEventKind::kStepCancelled, *s_.tools_step);
    s_.tools_step.reset();
  }
  if (s_.said.empty() && (!s_.message.has_value() || s_.message->content.empty())) {
    // Clients read content[0] of every answer.
    OpenMessage();
    bool first = false;
    TextPart(ContentPart::Kind::kText, first);
    Event(RunEventKind::kMessageDelta, MessageDelta{.message_id = s_.message->id,
                                                    .index = static_cast<int>(s_.message->content.size()) - 1,
                                                    .kind = ContentPart::Kind::kText,
                                                    .first = true});
  }
  if (s_.message.has_value()) CloseMessage(Message::Status::kCompleted, std::nullopt);
  s_.run.completed_at = now_;
  EndRun(RunStatus::kCompleted, RunEventKind::kRunCompleted);
}

void RunStepper::OpenMessage() {
  if (s_.message.has_value() && s_.message_step.has_value()) {
    if (!s_.message->content.empty() || s_.images.empty()) return;
  } else {
    if (!s_.message_step.has_value()) {
      s_.message_step = NewStep(RunStep::Kind::kMessageCreation);
      s_.message_step->message_id = ids_.NewMessage();
      Event(RunEventKind::kStepCreated, *s_.message_step);
      Event(RunEventKind::kStepInProgress, *s_.message_step);
    }
    s_.message = Message{.id = s_.message_step->message_id,
                         .project = s_.run.project,
                         .thread_id = s_.run.thread_id,
                         .created_at = now_,
                         .status = Message::Status::kInProgress,
                         .role = Role::kAssistant,
                         .assistant_id = s_.run.assistant_id,
                         .run_id = s_.run.id};
    Event(RunEventKind::kMessageCreated, *s_.message);
    Event(RunEventKind::kMessageInProgress, *s_.message);
  }
  s_.text_length = 0;
  // What code has shown comes before what is said about it.
  for (const FileId& image : s_.images) {
    s_.message->content.push_back({.kind = ContentPart::Kind::kImageFile, .image_file = image});
    Event(RunEventKind::kMessageDelta, MessageDelta{.message_id = s_.message->id,
                                                    .index = static_cast<int>(s_.message->content.size()) - 1,
                                                    .kind = ContentPart::Kind::kImageFile,
                                                    .first = true,
                                                    .image_file = image});
  }
  s_.images.clear();
}

ContentPart& RunStepper::TextPart(ContentPart::Kind kind, bool& first) {
  std::vector<ContentPart>& content = s_.message->content;
  first = content.empty() || content.back().kind != kind;
  if (first) {
    content.push_back({.kind = kind});
    s_.text_length = 0;
  }
  return content.back();
}

void RunStepper::AddText(const std::string& text) {
  s_.said += text;
  OpenMessage();
  for (const AnswerSegment& segment : s_.scanner.Feed(text)) AddSegment(segment);
}

void RunStepper::AddSegment(const AnswerSegment& segment) {
  bool first = false;
  ContentPart& part = TextPart(ContentPart::Kind::kText, first);
  MessageDelta delta{.message_id = s_.message->id,
                     .index = static_cast<int>(s_.message->content.size()) - 1,
                     .kind = ContentPart::Kind::kText,
                     .text = segment.text,
                     .first = first};
  const int64_t length = CountCodePoints(segment.text);
  if (auto annotation = Resolve(segment); annotation.has_value()) {
    annotation->start_index = s_.text_length;
    annotation->end_index = s_.text_length + length;
    delta.annotation_index = static_cast<int>(part.annotations.size());
    delta.annotations.push_back(*annotation);
    part.annotations.push_back(*std::move(annotation));
  }
  part.text += segment.text;
  s_.text_length += length;
  Event(RunEventKind::kMessageDelta, std::move(delta));
}

std::optional<Annotation> RunStepper::Resolve(const AnswerSegment& segment) const {
  switch (segment.kind) {
    case AnswerSegment::Kind::kText:
      return std::nullopt;
    case AnswerSegment::Kind::kMarker: {
      const auto cited = s_.citations.find(segment.text);
      if (cited == s_.citations.end()) return std::nullopt;
      return Annotation{.kind = Annotation::Kind::kFileCitation,
                        .text = segment.text,
                        .file_id = cited->second.file_id,
                        .citation = cited->second.citation,
                        .score = cited->second.score};
    }
    case AnswerSegment::Kind::kLink: {
      const std::string path = segment.text.substr(kSandboxLink.size());
      auto file = s_.links.find(path);
      if (file == s_.links.end()) file = s_.links.find(UndoPercents(path));
      if (file == s_.links.end()) return std::nullopt;
      return Annotation{.kind = Annotation::Kind::kFilePath, .text = segment.text, .file_id = file->second};
    }
  }
  return std::nullopt;
}

void RunStepper::AddRefusal(const std::string& text) {
  s_.said += text;
  OpenMessage();
  bool first = false;
  TextPart(ContentPart::Kind::kRefusal, first).text += text;
  Event(RunEventKind::kMessageDelta, MessageDelta{.message_id = s_.message->id,
                                                  .index = static_cast<int>(s_.message->content.size()) - 1,
                                                  .kind = ContentPart::Kind::kRefusal,
                                                  .text = text,
                                                  .first = first});
}

void RunStepper::CloseMessage(Message::Status status, std::optional<Message::IncompleteReason> reason) {
  for (const AnswerSegment& segment : s_.scanner.Finish()) AddSegment(segment);
  s_.message->status = status;
  s_.message->incomplete_reason = reason;
  if (status == Message::Status::kCompleted) {
    s_.message->completed_at = now_;
    Event(RunEventKind::kMessageCompleted, *s_.message);
  } else {
    s_.message->incomplete_at = now_;
    Event(RunEventKind::kMessageIncomplete, *s_.message);
  }
  s_.message.reset();
  CompleteStep(*s_.message_step);
  s_.message_step.reset();
}

void RunStepper::AddCallPiece(ChatToolDelta piece) {
  const auto index = static_cast<std::size_t>(std::max(0, piece.index));
  if (index >= limits_.calls_max) {
    Fail({.message = "The model made too many tool calls at once."});
    return;
  }
  while (s_.calls.size() <= index) s_.calls.emplace_back();
  CallDraft& draft = s_.calls[index];
  if (draft.call.id.empty() && !piece.id.empty()) draft.call.id = CallId(std::move(piece.id));
  if (draft.position < 0 && !piece.name.empty()) {
    draft.call.function_name = std::move(piece.name);
    draft.arguments += piece.arguments;
    ShowCall(draft);
    ShowArguments(draft, draft.arguments);
    return;
  }
  draft.arguments += piece.arguments;
  if (draft.position >= 0) ShowArguments(draft, piece.arguments);
}

void RunStepper::ShowCall(CallDraft& draft) {
  if (s_.message.has_value()) CloseMessage(Message::Status::kCompleted, std::nullopt);
  if (!s_.tools_step.has_value()) {
    s_.tools_step = NewStep(RunStep::Kind::kToolCalls);
    Event(RunEventKind::kStepCreated, *s_.tools_step);
    Event(RunEventKind::kStepInProgress, *s_.tools_step);
  }
  ToolCall& call = draft.call;
  const bool taken = std::any_of(s_.calls.begin(), s_.calls.end(), [&](const CallDraft& other) {
    return &other != &draft && other.position >= 0 && other.call.id == call.id;
  });
  if (!IsUsableId(call.id.value) || taken) call.id = ids_.NewCall();
  draft.position = static_cast<int>(
      std::count_if(s_.calls.begin(), s_.calls.end(), [](const CallDraft& d) { return d.position >= 0; }));
  if (call.function_name == kCodeToolName && FindTool(ToolKind::kCodeInterpreter, "") != nullptr) {
    call.kind = ToolKind::kCodeInterpreter;
  } else if (const Tool* search = FindTool(ToolKind::kFileSearch, "");
             call.function_name == kSearchToolName && search != nullptr) {
    call.kind = ToolKind::kFileSearch;
    call.ranking = search->file_search.ranking;
  }
  StepDelta delta{.step_id = s_.tools_step->id,
                  .index = draft.position,
                  .kind = call.kind,
                  .call_id = call.id,
                  .ranking = call.ranking};
  if (call.kind == ToolKind::kFunction) {
    delta.function_name = call.function_name;
  } else {
    call.function_name.clear();
  }
  Event(RunEventKind::kStepDelta, std::move(delta));
}

void RunStepper::ShowArguments(CallDraft& draft, const std::string& piece) {
  StepDelta delta{.step_id = s_.tools_step->id, .index = draft.position, .kind = draft.call.kind};
  switch (draft.call.kind) {
    case ToolKind::kFunction:
      draft.call.arguments += piece;
      delta.arguments = piece;
      break;
    case ToolKind::kCodeInterpreter:
      delta.code = draft.code.Feed(piece);
      draft.call.code += delta.code;
      break;
    case ToolKind::kFileSearch:
      return;
  }
  if (!delta.arguments.empty() || !delta.code.empty()) Event(RunEventKind::kStepDelta, std::move(delta));
}

}  // namespace carrel::gateway
