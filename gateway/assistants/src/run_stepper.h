// One step of a run, in the making: the state, the moment, and the effects so far. Internal to the machine.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "gateway/assistants/run_machine.h"

namespace carrel::gateway {

class RunStepper final {
 public:
  RunStepper(RunState& state, const Moment& moment, const MachineLimits& limits)
      : s_(state), now_(moment.now), ids_(*moment.ids), limits_(limits) {}

  // How the run goes (run_machine.cc).
  void On(TakenUp input);
  void On(Prepared input);
  void On(PrepareFailed input);
  void On(PromptTooLong input);
  void On(OutputsSubmitted input);
  void On(CancelRequested input);
  void On(TimeIsUp input);
  // What the model says (run_answer.cc).
  void On(ModelSaid input);
  void On(ModelEnded input);
  // What the tools say (run_tools.cc).
  void On(CodeSaid input);
  void On(CodeEnded input);
  void On(SearchEnded input);

  std::vector<Effect> TakeEffects() && { return std::move(effects_); }

  void Fail(LastError error);

 private:
  void Event(RunEventKind kind, std::variant<Thread, Run, RunStep, Message, StepDelta, MessageDelta, Error> payload,
             bool when_durable = false);
  template <class E>
  void Do(E effect) {
    effects_.push_back(std::move(effect));
  }

  // run_machine.cc
  void AskOrPrepare();
  void NextTurn();
  // The end of everything that is open, in the way of the run's own end.
  void CloseOpen(RunStep::Status step_status, Message::IncompleteReason reason, const std::optional<LastError>& error);
  void EndRun(RunStatus status, RunEventKind kind);
  void EndIncomplete(Run::IncompleteReason reason);
  RunStep NewStep(RunStep::Kind kind);
  void CompleteStep(RunStep& step);

  // run_answer.cc
  void AddText(const std::string& text);
  void AddSegment(const AnswerSegment& segment);
  void AddRefusal(const std::string& text);
  void OpenMessage();
  void CloseMessage(Message::Status status, std::optional<Message::IncompleteReason> reason);
  void AddCallPiece(ChatToolDelta piece);
  void ShowCall(CallDraft& draft);
  void ShowArguments(CallDraft& draft, const std::string& piece);
  std::optional<Annotation> Resolve(const AnswerSegment& segment) const;
  ContentPart& TextPart(ContentPart::Kind kind, bool& first);
  bool CountBytes(std::size_t bytes);

  // run_tools.cc
  void StartTools();
  void StartCall(std::size_t index);
  void StartCode();
  void Answer(CallDraft& draft, std::string text);
  void AnswerWrongCall(CallDraft& draft, const absl::Status& wrong);
  void ShowOutputs(CallDraft& draft, std::vector<CodeOutput> outputs, int first_index);
  void ToolsMayBeDone();
  void FinishToolsStep();
  const Tool* FindTool(ToolKind kind, const std::string& function_name) const;

  RunState& s_;
  absl::Time now_;
  Ids& ids_;
  const MachineLimits& limits_;
  std::vector<Effect> effects_;
};

// What the model reads of a finished tools step, as messages: its calls and their answers.
void AppendTurn(RunState& state, const std::string& said, const std::vector<ToolCall>& calls,
                const std::vector<std::string>& answers, const std::vector<std::string>& arguments);

}  // namespace carrel::gateway
