#include "gateway/assistants/run_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/types/error.h"
#include "machine_fixture.h"

namespace carrel::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(RunMachine, APlainAnswer) {
  MachineFixture run;
  EXPECT_THAT(run.Taken<WantWorker>(), SizeIs(1));
  run.Start();
  EXPECT_THAT(run.Taken<Prepare>(), SizeIs(1));
  EXPECT_THAT(run.Taken<AskModel>(), SizeIs(1));
  run.Say("Hel");
  run.Say("lo");
  run.End();
  EXPECT_THAT(run.TakeNames(), ElementsAre("run.in_progress", "step.created", "step.in_progress", "message.created",
                                           "message.in_progress", "message.delta", "message.completed",
                                           "step.completed", "run.completed"));
  const auto created = run.All<Message>(RunEventKind::kMessageCreated).at(0);
  EXPECT_THAT(created.content, IsEmpty());
  const auto message = run.All<Message>(RunEventKind::kMessageCompleted).at(0);
  EXPECT_EQ(message.content.at(0).text, "Hello");
  EXPECT_EQ(run.Accumulated(message.id), message.content);
  EXPECT_EQ(message.run_id, RunId("run_1"));
  const auto deltas = run.All<MessageDelta>(RunEventKind::kMessageDelta);
  EXPECT_TRUE(deltas.at(0).first);
  EXPECT_FALSE(deltas.at(1).first);
  const auto step = run.All<RunStep>(RunEventKind::kStepCompleted).at(0);
  EXPECT_EQ(step.usage->prompt_tokens, 10);
  const auto done = run.All<gateway::Run>(RunEventKind::kRunCompleted).at(0);
  EXPECT_EQ(done.usage->total_tokens(), 15);
  EXPECT_TRUE(done.completed_at.has_value());
  EXPECT_FALSE(done.expires_at.has_value());
  EXPECT_THAT(run.Taken<ReleaseWorker>(), SizeIs(1));
}

TEST(RunMachine, AnEmptyAnswerIsAMessageStill) {
  MachineFixture run;
  run.Start();
  run.End();
  EXPECT_EQ(run.All<Message>(RunEventKind::kMessageCompleted).at(0).content.size(), 1U);
  EXPECT_EQ(run.state.run.status, RunStatus::kCompleted);
}

TEST(RunMachine, AFunctionIsAskedOfTheClient) {
  MachineFixture run({FunctionNamed("f")});
  run.Start();
  run.Call(0, "call_a", "f", "");
  run.Call(0, "", "", "{\"x\":");
  run.Call(0, "", "", "1}");
  run.End(ChatEnd::Reason::kToolCalls);
  EXPECT_THAT(run.TakeNames(),
              ElementsAre("run.in_progress", "step.created", "step.in_progress", "step.delta", "run.requires_action"));
  const auto deltas = run.All<StepDelta>(RunEventKind::kStepDelta);
  ASSERT_THAT(deltas, SizeIs(3));
  EXPECT_EQ(deltas[0].call_id, CallId("call_a"));
  EXPECT_EQ(deltas[0].function_name, "f");
  EXPECT_EQ(deltas[0].arguments, "");
  EXPECT_EQ(deltas[1].call_id, CallId());
  EXPECT_EQ(deltas[1].arguments + deltas[2].arguments, "{\"x\":1}");
  // Who polls sees the calls.
  EXPECT_EQ(run.Taken<KeepStep>().back().step.tool_calls.at(0).arguments, "{\"x\":1}");
  const gateway::Run waiting = run.state.run;
  EXPECT_EQ(waiting.required_calls.at(0).id, CallId("call_a"));
  EXPECT_FALSE(waiting.usage.has_value());

  run.Feed(OutputsSubmitted{.outputs = {{.call_id = CallId("call_a"), .output = "17"}}});
  EXPECT_THAT(run.TakeNames(), ElementsAre("step.completed", "run.queued"));
  EXPECT_EQ(run.All<RunStep>(RunEventKind::kStepCompleted).at(0).tool_calls.at(0).output, "17");
  run.Feed(TakenUp{});
  ASSERT_THAT(run.state.turns, SizeIs(2));
  EXPECT_EQ(run.state.turns[0].tool_calls.at(0).arguments, "{\"x\":1}");
  EXPECT_EQ(run.state.turns[1].parts.at(0).text, "17");
  run.Say("Sum 17");
  run.End();
  EXPECT_THAT(run.TakeNames(), ElementsAre("run.in_progress", "step.created", "step.in_progress", "message.created",
                                           "message.in_progress", "message.delta", "message.completed",
                                           "step.completed", "run.completed"));
  EXPECT_EQ(run.state.run.usage->total_tokens(), 30);
}

TEST(RunMachine, CodeIsShownAsItIsWrittenAndRun) {
  MachineFixture run({CodeToolOf()});
  run.Start();
  run.Call(0, "call_a", "code_interpreter", "");
  run.Call(0, "", "", "{\"code\": \"pri");
  run.Call(0, "", "", "nt(1)\"}");
  run.End(ChatEnd::Reason::kToolCalls);
  const auto code = run.Taken<RunCode>();
  ASSERT_THAT(code, SizeIs(1));
  EXPECT_EQ(code[0].code, "print(1)");
  run.Feed(CodeSaid{.op = code[0].op, .call = 0, .logs = "1"});
  run.Feed(CodeEnded{
      .op = code[0].op,
      .call = 0,
      .outcome = CodeOutcome{
          .text = "1\n", .images = {FileId("file-i")}, .files = {{.path = "a.csv", .file_id = FileId("file-c")}}}});
  run.Say("Done: [a](sandbox:/mnt/data/a.csv) and sandbox:/mnt/data/none.");
  run.End();
  EXPECT_THAT(run.TakeNames(),
              ElementsAre("run.in_progress", "step.created", "step.in_progress", "step.delta", "step.completed",
                          "step.created", "step.in_progress", "message.created", "message.in_progress", "message.delta",
                          "message.completed", "step.completed", "run.completed"));
  std::string shown;
  std::vector<std::string> logs;
  for (const StepDelta& delta : run.All<StepDelta>(RunEventKind::kStepDelta)) {
    shown += delta.code;
    for (const CodeOutput& output : delta.outputs) {
      logs.push_back(std::to_string(delta.output_index) + output.logs + output.image.value);
    }
  }
  EXPECT_EQ(shown, "print(1)");
  EXPECT_THAT(logs, ElementsAre("01", "0\n", "1file-i"));
  const auto step = run.All<RunStep>(RunEventKind::kStepCompleted).at(0);
  EXPECT_EQ(step.tool_calls.at(0).code, "print(1)");
  EXPECT_THAT(step.tool_calls.at(0).code_outputs, SizeIs(2));
  // The image comes before the text; the known link has its annotation, the unknown none.
  const auto message = run.All<Message>(RunEventKind::kMessageCompleted).at(0);
  ASSERT_THAT(message.content, SizeIs(2));
  EXPECT_EQ(message.content[0].image_file, FileId("file-i"));
  EXPECT_THAT(message.content[1].annotations, ElementsAre(Annotation{.kind = Annotation::Kind::kFilePath,
                                                                     .text = "sandbox:/mnt/data/a.csv",
                                                                     .start_index = 10,
                                                                     .end_index = 33,
                                                                     .file_id = FileId("file-c")}));
  EXPECT_EQ(run.Accumulated(message.id), message.content);
}

TEST(RunMachine, CitationsCountCharacters) {
  MachineFixture run({SearchToolOf()});
  run.Start();
  run.Call(0, "call_s", "file_search", R"({"query": "leave"})");
  run.End(ChatEnd::Reason::kToolCalls);
  const auto searches = run.Taken<RunSearch>();
  ASSERT_THAT(searches, SizeIs(1));
  EXPECT_THAT(searches[0].queries, ElementsAre("leave"));
  run.Feed(SearchEnded{.op = searches[0].op,
                       .call = 0,
                       .results = std::vector<SearchResult>{{.file_id = FileId("file-1"),
                                                             .file_name = "a.txt",
                                                             .score = 0.5,
                                                             .passage = "27 days",
                                                             .citations = {{.quote = "27", .first_page = 2}}}}});
  EXPECT_THAT(run.state.turns.at(1).parts.at(0).text, HasSubstr("【0:0†a.txt】 page 2\n27 days"));
  run.Say("Für 😀 27【0:");
  run.Say("0†a.txt】 and 【0:7†b】.");
  run.End();
  EXPECT_THAT(run.TakeNames(),
              ElementsAre("run.in_progress", "step.created", "step.in_progress", "step.delta", "step.completed",
                          "step.created", "step.in_progress", "message.created", "message.in_progress", "message.delta",
                          "message.completed", "step.completed", "run.completed"));
  const auto message = run.All<Message>(RunEventKind::kMessageCompleted).at(0);
  EXPECT_EQ(message.content.at(0).text, "Für 😀 27【0:0†a.txt】 and 【0:7†b】.");
  EXPECT_THAT(message.content.at(0).annotations, ElementsAre(Annotation{.kind = Annotation::Kind::kFileCitation,
                                                                        .text = "【0:0†a.txt】",
                                                                        .start_index = 8,
                                                                        .end_index = 19,
                                                                        .file_id = FileId("file-1"),
                                                                        .citation = {.quote = "27", .first_page = 2},
                                                                        .score = 0.5}));
  EXPECT_EQ(run.Accumulated(message.id), message.content);
}

TEST(RunMachine, ToolsOfAllKindsInOneAnswer) {
  MachineFixture run({CodeToolOf(), SearchToolOf(), FunctionNamed("f")});
  run.Start();
  run.Say("Let me see.");
  run.Call(0, "a", "code_interpreter", R"({"code": "1"})");
  run.Call(1, "b", "f", "");
  run.Call(2, "c", "file_search", R"({"query": "q"})");
  run.Call(3, "d", "code_interpreter", R"({"code": "2"})");
  run.End(ChatEnd::Reason::kToolCalls);
  // One code after the other.
  auto code = run.Taken<RunCode>();
  ASSERT_THAT(code, SizeIs(1));
  const auto search = run.Taken<RunSearch>();
  ASSERT_THAT(search, SizeIs(1));
  run.Feed(SearchEnded{.op = search[0].op, .call = search[0].call, .results = std::vector<SearchResult>()});
  run.Feed(CodeEnded{.op = code[0].op, .call = code[0].call, .outcome = CodeOutcome{.text = "1"}});
  EXPECT_EQ(run.state.phase, RunPhase::kTools);
  code = run.Taken<RunCode>();
  ASSERT_THAT(code, SizeIs(1));
  EXPECT_EQ(code[0].code, "2");
  run.Feed(CodeEnded{.op = code[0].op, .call = code[0].call, .outcome = CodeOutcome{.text = "2"}});
  EXPECT_EQ(run.state.run.status, RunStatus::kRequiresAction);
  ASSERT_THAT(run.state.run.required_calls, SizeIs(1));
  EXPECT_EQ(run.state.run.required_calls[0].id, CallId("b"));
  EXPECT_EQ(run.state.run.required_calls[0].arguments, "{}");
  run.Feed(OutputsSubmitted{.outputs = {{.call_id = CallId("b"), .output = "o"}}});
  ASSERT_THAT(run.state.turns, SizeIs(5));
  EXPECT_EQ(run.state.turns[0].parts.at(0).text, "Let me see.");
  EXPECT_THAT(run.state.turns[0].tool_calls, SizeIs(4));
  EXPECT_EQ(run.state.turns[4].parts.at(0).text, "2");
}

TEST(RunMachine, BadCallsAreSentBackToBeMended) {
  struct Case {
    const char* name;
    const char* arguments;
    const char* hint;
  };
  for (const Case& c : {Case{"code_interpreter", "print(1)", "JSON object"}, Case{"file_search", "{}", "query"},
                        Case{"f", "{broken", "JSON object"}, Case{"nothing", "{}", "there is no tool 'nothing'"},
                        Case{"", "{}", "there is no tool"}}) {
    MachineFixture run({CodeToolOf(), SearchToolOf(), FunctionNamed("f")});
    run.Start();
    run.Call(0, "", c.name, c.arguments);
    run.End(ChatEnd::Reason::kToolCalls);
    EXPECT_EQ(run.state.phase, RunPhase::kModel) << c.name;
    ASSERT_THAT(run.state.turns, SizeIs(2)) << c.name;
    EXPECT_THAT(run.state.turns[1].parts.at(0).text, HasSubstr(c.hint));
    EXPECT_TRUE(CheckArguments(run.state.turns[0].tool_calls.at(0).arguments).ok());
    EXPECT_EQ(run.state.turns[0].tool_calls.at(0).id, run.state.turns[1].tool_call_id);
    EXPECT_THAT(run.state.turns[1].tool_call_id, HasSubstr("call_"));
    run.Say("Sorry.");
    run.End();
    EXPECT_EQ(run.state.run.status, RunStatus::kCompleted);
  }
}

TEST(RunMachine, AModelThatNeverMendsItselfIsStopped) {
  MachineFixture run({CodeToolOf()});
  run.Start();
  for (int i = 0; i < 4; ++i) {
    ASSERT_EQ(run.state.phase, RunPhase::kModel);
    run.Call(0, "same", "code_interpreter", "oops");
    run.End(ChatEnd::Reason::kToolCalls);
  }
  EXPECT_EQ(run.state.run.status, RunStatus::kFailed);
  EXPECT_THAT(run.state.run.last_error->message, HasSubstr("wrongly"));
}

TEST(RunMachine, AModelThatNeverAnswersIsStopped) {
  MachineFixture run({SearchToolOf()});
  run.limits.rounds_max = 5;
  run.Start();
  for (int i = 0; i < 5; ++i) {
    run.Call(0, "", "file_search", R"({"query": "q"})");
    run.End(ChatEnd::Reason::kToolCalls);
    run.Feed(SearchEnded{.op = run.state.op, .call = 0, .results = std::vector<SearchResult>()});
  }
  EXPECT_EQ(run.state.run.status, RunStatus::kFailed);
  EXPECT_THAT(run.state.run.last_error->message, HasSubstr("kept on calling tools"));
}

TEST(RunMachine, TheModelsFailureIsTheRuns) {
  using Code = LastError::Code;
  for (const auto& [status, code] : std::vector<std::pair<absl::Status, Code>>{
           {absl::ResourceExhaustedError("slow down"), Code::kRateLimitExceeded},
           {absl::InvalidArgumentError("too long"), Code::kInvalidPrompt},
           {absl::UnavailableError("away"), Code::kServerError},
           {absl::FailedPreconditionError("configure one"), Code::kServerError}}) {
    MachineFixture run;
    run.Start();
    run.Say("half");
    run.FailModel(status);
    EXPECT_THAT(run.TakeNames(),
                ElementsAre("run.in_progress", "step.created", "step.in_progress", "message.created",
                            "message.in_progress", "message.delta", "message.incomplete", "step.failed", "run.failed"));
    EXPECT_EQ(run.state.run.last_error, (LastError{code, std::string(status.message())}));
    EXPECT_EQ(run.All<Message>(RunEventKind::kMessageIncomplete).at(0).incomplete_reason,
              Message::IncompleteReason::kRunFailed);
  }
}

TEST(RunMachine, ALimitOnTokensLeavesItIncomplete) {
  MachineFixture run;
  run.Start();
  run.Say("half");
  run.End(ChatEnd::Reason::kLength);
  EXPECT_THAT(run.TakeNames(), ElementsAre("run.in_progress", "step.created", "step.in_progress", "message.created",
                                           "message.in_progress", "message.delta", "message.incomplete",
                                           "step.completed", "run.incomplete"));
  EXPECT_EQ(run.state.run.incomplete_reason, gateway::Run::IncompleteReason::kMaxCompletionTokens);
  EXPECT_EQ(run.All<Message>(RunEventKind::kMessageIncomplete).at(0).incomplete_reason,
            Message::IncompleteReason::kMaxTokens);

  MachineFixture prompt;
  prompt.Start();
  prompt.Feed(PromptTooLong{.op = prompt.state.op});
  EXPECT_EQ(prompt.state.run.incomplete_reason, gateway::Run::IncompleteReason::kMaxPromptTokens);
}

TEST(RunMachine, CancelClosesWhatIsOpen) {
  MachineFixture run;
  run.Start();
  run.Say("half");
  run.TakeNames();
  const uint64_t op = run.state.op;
  run.Feed(CancelRequested{});
  EXPECT_THAT(run.TakeNames(), ElementsAre("run.cancelling", "message.incomplete", "step.cancelled", "run.cancelled"));
  EXPECT_THAT(run.Taken<StopWork>(), SizeIs(1));
  EXPECT_FALSE(run.state.run.expires_at.has_value());
  run.Feed(ModelSaid{.op = op, .delta = {.text = "late"}});
  run.Feed(ModelEnded{.op = op, .end = ChatEnd{}});
  run.Feed(TimeIsUp{});
  EXPECT_THAT(run.TakeNames(), IsEmpty());
}

TEST(RunMachine, CancelBeforeAnythingAndWhileWaiting) {
  MachineFixture queued;
  queued.Feed(CancelRequested{});
  EXPECT_THAT(queued.TakeNames(), ElementsAre("run.cancelling", "run.cancelled"));

  MachineFixture waiting({FunctionNamed("f")});
  waiting.Start();
  waiting.Call(0, "a", "f", "{}");
  waiting.End(ChatEnd::Reason::kToolCalls);
  waiting.TakeNames();
  waiting.Feed(CancelRequested{});
  EXPECT_THAT(waiting.TakeNames(), ElementsAre("run.cancelling", "step.cancelled", "run.cancelled"));
  EXPECT_THAT(waiting.state.run.required_calls, IsEmpty());
  EXPECT_THAT(waiting.All<RunStep>(RunEventKind::kStepCancelled).at(0).tool_calls, SizeIs(1));
}

TEST(RunMachine, ExpiryEndsEveryPhase) {
  MachineFixture run({FunctionNamed("f")});
  run.Start();
  run.Call(0, "a", "f", "{}");
  run.End(ChatEnd::Reason::kToolCalls);
  run.TakeNames();
  run.Feed(TimeIsUp{});
  EXPECT_THAT(run.TakeNames(), ElementsAre("step.expired", "run.expired"));
  EXPECT_EQ(run.state.run.status, RunStatus::kExpired);
}

TEST(RunMachine, OutputsAreChecked) {
  gateway::Run run{.status = RunStatus::kRequiresAction};
  run.required_calls = {{.id = CallId("a")}, {.id = CallId("b")}};
  EXPECT_TRUE(CheckOutputs(run, {{.call_id = CallId("b")}, {.call_id = CallId("a")}}).ok());
  EXPECT_EQ(ErrorOf(CheckOutputs(run, {{.call_id = CallId("a")}})),
            (Error{ErrorKind::kOutputsMismatch, "", {"'a', 'b'", "'a'"}}));
  EXPECT_FALSE(CheckOutputs(run, {{.call_id = CallId("a")}, {.call_id = CallId("a")}}).ok());
  EXPECT_FALSE(CheckOutputs(run, {}).ok());
  run.status = RunStatus::kInProgress;
  EXPECT_EQ(ErrorOf(CheckOutputs(run, {})), (Error{ErrorKind::kOutputsNotAccepted, "", {"in_progress"}}));
  EXPECT_TRUE(CheckCancellable(run).ok());
  run.status = RunStatus::kCompleted;
  EXPECT_EQ(ErrorOf(CheckCancellable(run)), (Error{ErrorKind::kRunNotCancellable, "", {"completed"}}));
}

TEST(RunMachine, UsageIsGuessedWhenTheModelDoesNotTell) {
  MachineFixture run;
  run.Start();
  run.Say("12345678");
  run.Feed(ModelEnded{.op = run.state.op, .end = ChatEnd{}, .prompt_tokens_estimate = 40});
  EXPECT_EQ(*run.state.run.usage, (TokenUsage{.prompt_tokens = 40, .completion_tokens = 2}));
}

// --- after a restart ---

TEST(RunRestored, AWaitingAnswerIsWrittenAnewIntoItsMessage) {
  MachineFixture before;
  before.Start();
  before.Say("half");
  auto step = before.All<RunStep>(RunEventKind::kStepInProgress).at(0);
  auto message = before.All<Message>(RunEventKind::kMessageInProgress).at(0);

  MachineFixture after;
  after.Begin(before.state.run, {step}, {message});
  EXPECT_THAT(after.Taken<WantWorker>(), SizeIs(2));  // the fixture's own run, and this
  after.Start();
  after.Say("whole");
  after.End();
  EXPECT_THAT(after.TakeNames(), ElementsAre("message.delta", "message.completed", "step.completed", "run.completed"));
  const auto completed = after.All<Message>(RunEventKind::kMessageCompleted).at(0);
  EXPECT_EQ(completed.id, message.id);
  EXPECT_EQ(completed.content.at(0).text, "whole");
}

TEST(RunRestored, CodeIsNotRunTwice) {
  for (const bool stored : {false, true}) {
    MachineFixture before({CodeToolOf()});
    before.Start();
    before.Call(0, "a", "code_interpreter", R"({"code": "1"})");
    before.End(ChatEnd::Reason::kToolCalls);
    auto step = before.All<RunStep>(RunEventKind::kStepInProgress).at(0);
    if (stored) step = before.Taken<KeepStep>().at(0).step;

    MachineFixture after;
    after.Begin(before.state.run, {step});
    EXPECT_THAT(after.TakeNames(), ElementsAre("step.failed", "run.failed"));
    EXPECT_THAT(after.state.run.last_error->message, HasSubstr("restarted"));
  }
}

TEST(RunRestored, ASearchIsMadeAgain) {
  MachineFixture before({SearchToolOf()});
  before.Start();
  before.Call(0, "a", "file_search", R"({"query": "q"})");
  before.End(ChatEnd::Reason::kToolCalls);

  MachineFixture after;
  after.Begin(before.state.run, {before.Taken<KeepStep>().at(0).step});
  after.Start();
  EXPECT_EQ(after.state.phase, RunPhase::kModel);
  after.Say("without it");
  after.End();
  EXPECT_THAT(after.TakeNames(),
              ElementsAre("step.created", "step.in_progress", "message.created", "message.in_progress", "message.delta",
                          "step.cancelled", "message.completed", "step.completed", "run.completed"));
}

TEST(RunRestored, AWaitForTheClientGoesOn) {
  MachineFixture before({FunctionNamed("f"), CodeToolOf()});
  before.Start();
  before.Call(0, "a", "f", "{}");
  before.Call(1, "b", "code_interpreter", R"({"code": "1"})");
  before.End(ChatEnd::Reason::kToolCalls);
  before.Feed(CodeEnded{.op = before.state.op, .call = 1, .outcome = CodeOutcome{.text = "one"}});
  ASSERT_EQ(before.state.run.status, RunStatus::kRequiresAction);

  MachineFixture after;
  after.Taken<WantWorker>();
  after.Begin(before.state.run, {before.Taken<KeepStep>().back().step});
  EXPECT_THAT(after.Taken<WantWorker>(), IsEmpty());
  after.Feed(OutputsSubmitted{.outputs = {{.call_id = CallId("a"), .output = "o"}}});
  EXPECT_THAT(after.TakeNames(), ElementsAre("step.completed", "run.queued"));
  ASSERT_THAT(after.state.turns, SizeIs(3));
  EXPECT_EQ(after.state.turns[1].parts.at(0).text, "o");
  EXPECT_EQ(after.state.turns[2].parts.at(0).text, "one");
}

TEST(RunRestored, FinishedTurnsAreReadAgain) {
  MachineFixture before({CodeToolOf()});
  before.Start();
  before.Call(0, "a", "code_interpreter", R"({"code": "1"})");
  before.End(ChatEnd::Reason::kToolCalls);
  before.Feed(CodeEnded{
      .op = before.state.op,
      .call = 0,
      .outcome = CodeOutcome{
          .text = "one", .images = {FileId("file-i")}, .files = {{.path = "a", .file_id = FileId("file-a")}}}});
  MachineFixture after;
  after.Begin(before.state.run, before.All<RunStep>(RunEventKind::kStepCompleted));
  ASSERT_THAT(after.state.turns, SizeIs(2));
  EXPECT_EQ(after.state.turns[1].parts.at(0).text, before.state.turns[1].parts.at(0).text);
  EXPECT_EQ(after.state.links, before.state.links);
  EXPECT_EQ(after.state.images, before.state.images);
  EXPECT_EQ(after.state.usage, before.state.usage);
}

}  // namespace
}  // namespace carrel::gateway
