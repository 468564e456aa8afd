#include "gateway/assistants/run_machine.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/tools/tool_text.h"
#include "gateway/types/error.h"
#include "gateway/types/run_status_name.h"
#include "run_stepper.h"

namespace carrel::gateway {
namespace {

constexpr char kNoReasonToGoOn[] = "The model kept on calling tools without coming to an answer.";

}  // namespace

std::vector<Effect> Step(RunState& state, Input input, const Moment& moment, const MachineLimits& limits) {
  if (state.IsOver()) return {};
  RunStepper stepper(state, moment, limits);
  std::visit([&](auto&& event) { stepper.On(std::forward<decltype(event)>(event)); }, std::move(input));
  return std::move(stepper).TakeEffects();
}

void RunStepper::Event(RunEventKind kind,
                       std::variant<Thread, Run, RunStep, Message, StepDelta, MessageDelta, Error> payload,
                       bool when_durable) {
  RunEvent event{.kind = kind, .payload = std::move(payload)};
  if (!effects_.empty()) {
    if (auto* last = std::get_if<Emit>(&effects_.back()); last != nullptr) {
      last->events.push_back(std::move(event));
      last->when_durable |= when_durable;
      return;
    }
  }
  Emit emit{.when_durable = when_durable};
  emit.events.push_back(std::move(event));
  Do(std::move(emit));
}

void RunStepper::On(TakenUp) {
  if (s_.phase != RunPhase::kQueued) return;
  if (s_.run.status == RunStatus::kQueued) {
    s_.run.status = RunStatus::kInProgress;
    s_.run.started_at = now_;
    Event(RunEventKind::kRunInProgress, s_.run);
  }
  AskOrPrepare();
}

void RunStepper::AskOrPrepare() {
  if (s_.prepared) {
    NextTurn();
  } else {
    s_.phase = RunPhase::kPreparing;
    Do(Prepare{});
  }
}

void RunStepper::On(Prepared input) {
  if (s_.phase != RunPhase::kPreparing) return;
  s_.prepared = true;
  s_.links.merge(input.links);
  NextTurn();
}

void RunStepper::On(PrepareFailed input) {
  if (s_.phase == RunPhase::kPreparing) Fail(std::move(input.error));
}

void RunStepper::NextTurn() {
  if (s_.rounds >= limits_.rounds_max) {
    Fail({.code = LastError::Code::kServerError, .message = kNoReasonToGoOn});
    return;
  }
  if (s_.run.max_completion_tokens.has_value() && s_.usage.completion_tokens >= *s_.run.max_completion_tokens) {
    EndIncomplete(Run::IncompleteReason::kMaxCompletionTokens);
    return;
  }
  ++s_.rounds;
  s_.calls.clear();
  s_.said.clear();
  s_.answer_bytes = 0;
  s_.turn_usage = {};
  s_.phase = RunPhase::kModel;
  Do(AskModel{.op = ++s_.op});
}

void RunStepper::On(PromptTooLong input) {
  if (s_.phase == RunPhase::kModel && input.op == s_.op) EndIncomplete(Run::IncompleteReason::kMaxPromptTokens);
}

void RunStepper::On(OutputsSubmitted input) {
  if (s_.phase != RunPhase::kRequiresAction || !s_.tools_step.has_value()) return;
  std::map<CallId, std::string> outputs;
  for (ToolOutput& output : input.outputs) outputs[output.call_id] = std::move(output.output);
  for (CallDraft& draft : s_.calls) {
    if (const auto found = outputs.find(draft.call.id); found != outputs.end() && !draft.settled) {
      draft.call.output = found->second;
      draft.answer = found->second;
      draft.settled = true;
    }
  }
  FinishToolsStep();
  s_.run.required_calls.clear();
  s_.run.status = RunStatus::kQueued;
  s_.run.started_at.reset();
  s_.phase = RunPhase::kQueued;
  Event(RunEventKind::kRunQueued, s_.run, /*when_durable=*/true);
  Do(WantWorker{});
}

void RunStepper::On(CancelRequested) {
  Do(StopWork{});
  s_.run.status = RunStatus::kCancelling;
  s_.run.required_calls.clear();
  Event(RunEventKind::kRunCancelling, s_.run);
  // Nothing has to be waited for: stopped work has no way to say anything any more.
  CloseOpen(RunStep::Status::kCancelled, Message::IncompleteReason::kRunCancelled, std::nullopt);
  s_.run.cancelled_at = now_;
  EndRun(RunStatus::kCancelled, RunEventKind::kRunCancelled);
}

void RunStepper::On(TimeIsUp) {
  Do(StopWork{});
  CloseOpen(RunStep::Status::kExpired, Message::IncompleteReason::kRunExpired, std::nullopt);
  EndRun(RunStatus::kExpired, RunEventKind::kRunExpired);
}

void RunStepper::Fail(LastError error) {
  Do(StopWork{});
  CloseOpen(RunStep::Status::kFailed, Message::IncompleteReason::kRunFailed, error);
  s_.run.last_error = std::move(error);
  s_.run.failed_at = now_;
  EndRun(RunStatus::kFailed, RunEventKind::kRunFailed);
}

void RunStepper::EndIncomplete(Run::IncompleteReason reason) {
  if (s_.message.has_value()) CloseMessage(Message::Status::kIncomplete, Message::IncompleteReason::kMaxTokens);
  if (s_.tools_step.has_value()) {
    CompleteStep(*s_.tools_step);
    s_.tools_step.reset();
  }
  s_.run.incomplete_reason = reason;
  EndRun(RunStatus::kIncomplete, RunEventKind::kRunIncomplete);
}

void RunStepper::EndRun(RunStatus status, RunEventKind kind) {
  s_.run.status = status;
  s_.run.expires_at.reset();
  s_.run.required_calls.clear();
  s_.run.usage = s_.usage;
  s_.phase = RunPhase::kOver;
  ++s_.op;
  Event(kind, s_.run, /*when_durable=*/true);
  Do(ReleaseWorker{});
}

void RunStepper::CloseOpen(RunStep::Status step_status, Message::IncompleteReason reason,
                           const std::optional<LastError>& error) {
  const auto close = [&](RunStep& step) {
    step.status = step_status;
    step.usage = s_.turn_usage;
    step.last_error = error;
    RunEventKind kind = RunEventKind::kStepFailed;
    if (step_status == RunStep::Status::kCancelled) {
      step.cancelled_at = now_;
      kind = RunEventKind::kStepCancelled;
    } else if (step_status == RunStep::Status::kExpired) {
      step.expired_at = now_;
      kind = RunEventKind::kStepExpired;
    } else {
      step.failed_at = now_;
    }
    Event(kind, step);
  };
  if (s_.message.has_value()) {
    for (const AnswerSegment& segment : s_.scanner.Finish()) AddSegment(segment);
    s_.message->status = Message::Status::kIncomplete;
    s_.message->incomplete_reason = reason;
    s_.message->incomplete_at = now_;
    Event(RunEventKind::kMessageIncomplete, *s_.message);
    s_.message.reset();
  }
  if (s_.message_step.has_value()) close(*s_.message_step);
  s_.message_step.reset();
  if (s_.tools_step.has_value()) {
    s_.tools_step->tool_calls.clear();
    for (const CallDraft& draft : s_.calls) {
      if (draft.position >= 0) s_.tools_step->tool_calls.push_back(draft.call);
    }
    close(*s_.tools_step);
  }
  s_.tools_step.reset();
}

RunStep RunStepper::NewStep(RunStep::Kind kind) {
  return {.id = ids_.NewStep(),
          .project = s_.run.project,
          .run_id = s_.run.id,
          .thread_id = s_.run.thread_id,
          .assistant_id = s_.run.assistant_id,
          .created_at = now_,
          .kind = kind};
}

void RunStepper::CompleteStep(RunStep& step) {
  step.status = RunStep::Status::kCompleted;
  step.completed_at = now_;
  // A message that a tool call followed is complete before the model has told the usage; the tools' step then has it.
  if (s_.turn_usage != TokenUsage{}) step.usage = s_.turn_usage;
  Event(RunEventKind::kStepCompleted, step);
}

namespace {

// What the model read, or would have read, of a call that is stored; its links, images and markers count again.
std::string AnswerAgain(RunState& state, const ToolCall& call) {
  switch (call.kind) {
    case ToolKind::kCodeInterpreter:
      for (const WrittenFile& file : call.written_files) state.links[file.path] = file.file_id;
      for (const CodeOutput& output : call.code_outputs) {
        if (output.kind == CodeOutput::Kind::kImage) state.images.push_back(output.image);
      }
      return CodeText(call, /*state_lost=*/false);
    case ToolKind::kFileSearch: {
      const int search = state.searches++;
      for (std::size_t i = 0; i < call.search_results.size(); ++i) {
        const SearchResult& result = call.search_results[i];
        state.citations[Marker(search, i, result.file_name)] = {
            .file_id = result.file_id, .citation = result.BestCitation(), .score = result.score};
      }
      return SearchText(search, call.search_results);
    }
    case ToolKind::kFunction:
      return call.output.value_or("");
  }
  return "";
}

std::string ArgumentsAgain(const ToolCall& call) {
  if (call.kind == ToolKind::kCodeInterpreter) return WriteCodeArguments(call.code);
  if (call.kind == ToolKind::kFileSearch) return "{}";  // the query is not part of the step
  return CheckArguments(call.arguments).ok() ? call.arguments : WriteBrokenArguments(call.arguments);
}

// An earlier step of the run, as the model is to read it again.
void ReplayToolsStep(RunState& state, const RunStep& step) {
  std::vector<std::string> answers;
  std::vector<std::string> arguments;
  for (const ToolCall& call : step.tool_calls) {
    arguments.push_back(ArgumentsAgain(call));
    answers.push_back(AnswerAgain(state, call));
  }
  AppendTurn(state, "", step.tool_calls, answers, arguments);
}

// The calls of the step that a client is to answer, or has answered in part of its own.
void ReopenCalls(RunState& state, const RunStep& step) {
  for (std::size_t i = 0; i < step.tool_calls.size(); ++i) {
    const ToolCall& call = step.tool_calls[i];
    CallDraft draft;
    draft.call = call;
    draft.position = static_cast<int>(i);
    draft.arguments = ArgumentsAgain(call);
    const bool asked = std::any_of(state.run.required_calls.begin(), state.run.required_calls.end(),
                                   [&](const ToolCall& required) { return required.id == call.id; });
    draft.settled = !asked;
    if (!asked) draft.answer = AnswerAgain(state, call);
    state.calls.push_back(std::move(draft));
  }
}

}  // namespace

void AppendTurn(RunState& state, const std::string& said, const std::vector<ToolCall>& calls,
                const std::vector<std::string>& answers, const std::vector<std::string>& arguments) {
  ChatMessage assistant{.role = ChatMessage::Role::kAssistant};
  if (!said.empty()) assistant.parts.push_back({.text = said});
  std::vector<ChatMessage> results;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const ToolCall& call = calls[i];
    const std::string name = call.kind == ToolKind::kCodeInterpreter ? kCodeToolName
                             : call.kind == ToolKind::kFileSearch    ? kSearchToolName
                                                                     : call.function_name;
    assistant.tool_calls.push_back({.id = call.id.value, .name = name, .arguments = arguments[i]});
    results.push_back(
        {.role = ChatMessage::Role::kTool, .parts = {{.text = answers[i]}}, .tool_call_id = call.id.value});
  }
  state.turns.push_back(std::move(assistant));
  std::move(results.begin(), results.end(), std::back_inserter(state.turns));
}

Restored Restore(Run run, std::vector<RunStep> steps, std::vector<Message> messages, const Moment& moment) {
  Restored restored;
  RunState& state = restored.state;
  state.run = std::move(run);
  bool code_was_running = false;
  for (RunStep& step : steps) {
    if (step.usage.has_value()) state.usage += *step.usage;
    if (step.kind == RunStep::Kind::kMessageCreation) {
      const auto message =
          std::find_if(messages.begin(), messages.end(), [&](const Message& m) { return m.id == step.message_id; });
      if (step.status == RunStep::Status::kInProgress) {
        // The model was writing: it is asked again, and writes into the same message from its start.
        if (message != messages.end() && message->status == Message::Status::kInProgress) {
          state.message = *message;
          state.message->content.clear();
        }
        state.message_step = std::move(step);
        continue;
      }
      state.images.clear();
      if (message == messages.end()) continue;
      ChatMessage said{.role = ChatMessage::Role::kAssistant};
      for (const ContentPart& part : message->content) {
        if (part.kind == ContentPart::Kind::kText && !part.text.empty()) said.parts.push_back({.text = part.text});
      }
      if (!said.parts.empty()) state.turns.push_back(std::move(said));
    } else if (step.status == RunStep::Status::kCompleted) {
      ++state.rounds;
      ReplayToolsStep(state, step);
    } else if (step.status == RunStep::Status::kInProgress) {
      const auto has_code = [](const auto& items) {
        return std::any_of(items.begin(), items.end(),
                           [](const auto& i) { return i.kind == ToolKind::kCodeInterpreter; });
      };
      if (state.run.status == RunStatus::kRequiresAction) {
        ReopenCalls(state, step);
      } else {
        // Which calls the model was making is stored just before they are carried out.
        code_was_running = step.tool_calls.empty() ? has_code(state.run.tools) : has_code(step.tool_calls);
        step.tool_calls.clear();
      }
      state.tools_step = std::move(step);
    }
  }
  if (!IsActive(state.run.status)) {
    state.phase = RunPhase::kOver;
    return restored;
  }
  const MachineLimits limits;
  RunStepper stepper(state, moment, limits);
  if (state.run.status == RunStatus::kRequiresAction) {
    state.phase = RunPhase::kRequiresAction;
    return restored;
  }
  if (state.run.status == RunStatus::kCancelling) {
    stepper.On(CancelRequested{});
  } else if (code_was_running) {
    stepper.Fail({.code = LastError::Code::kServerError,
                  .message = "Carrel was restarted while code of this run was running; it was not run again."});
  } else {
    restored.effects.emplace_back(WantWorker{});
    return restored;
  }
  restored.effects = std::move(stepper).TakeEffects();
  return restored;
}

absl::Status CheckOutputs(const Run& run, const std::vector<ToolOutput>& outputs) {
  if (run.status != RunStatus::kRequiresAction) {
    return MakeError(ErrorKind::kOutputsNotAccepted, "", {RunStatusName(run.status)});
  }
  std::vector<std::string> expected;
  std::vector<std::string> got;
  for (const ToolCall& call : run.required_calls) expected.push_back(call.id.value);
  for (const ToolOutput& output : outputs) got.push_back(output.call_id.value);
  if (std::multiset<std::string>(expected.begin(), expected.end()) ==
      std::multiset<std::string>(got.begin(), got.end())) {
    return absl::OkStatus();
  }
  const auto list = [](const std::vector<std::string>& ids) {
    return ids.empty() ? std::string() : absl::StrCat("'", absl::StrJoin(ids, "', '"), "'");
  };
  return MakeError(ErrorKind::kOutputsMismatch, "", {list(expected), list(got)});
}

absl::Status CheckCancellable(const Run& run) {
  if (IsActive(run.status) && run.status != RunStatus::kCancelling) return absl::OkStatus();
  return MakeError(ErrorKind::kRunNotCancellable, "", {RunStatusName(run.status)});
}

}  // namespace carrel::gateway
