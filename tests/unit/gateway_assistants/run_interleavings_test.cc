// Many lives of runs with everything happening in any order, restarts that lose what was not durable among it, each
// held against what must always be true:
//
// * an event after the last there is not; what is closed was opened, and once; nothing is open at the end;
// * one message is open at a time, no id is used twice, the deltas add up to the stored message;
// * the same holds for the stored log alone, whatever a restart has lost of its tail;
// * code is not started twice: not by late answers, and not by a restart;
// * a run that is over has usage and no expiry, and nothing that comes afterwards has an effect.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gateway/types/run_status_name.h"
#include "machine_fixture.h"

namespace carrel::gateway {
namespace {

// What a client that follows the stream may rely on, whatever happens.
class StreamReader {
 public:
  void Read(const RunEvent& event) {
    ASSERT_FALSE(over_) << "an event after the last: " << NameOf(event.kind);
    switch (event.kind) {
      case RunEventKind::kStepCreated: {
        const auto& step = std::get<RunStep>(event.payload);
        ASSERT_TRUE(steps_.insert(step.id.value).second);
        ASSERT_TRUE(open_steps_.insert(step.id.value).second);
        break;
      }
      case RunEventKind::kStepDelta:
        ASSERT_TRUE(open_steps_.contains(std::get<StepDelta>(event.payload).step_id.value));
        break;
      case RunEventKind::kStepCompleted:
      case RunEventKind::kStepCancelled:
      case RunEventKind::kStepExpired:
      case RunEventKind::kStepFailed:
        ASSERT_EQ(open_steps_.erase(std::get<RunStep>(event.payload).id.value), 1U);
        break;
      case RunEventKind::kMessageCreated: {
        const auto& message = std::get<Message>(event.payload);
        ASSERT_EQ(open_message_, "") << "two messages open";
        ASSERT_TRUE(messages_.insert(message.id.value).second) << "a message's id was used twice";
        open_message_ = message.id.value;
        text_.clear();
        break;
      }
      case RunEventKind::kMessageDelta: {
        const auto& delta = std::get<MessageDelta>(event.payload);
        ASSERT_EQ(open_message_, delta.message_id.value);
        text_ += delta.text;
        break;
      }
      case RunEventKind::kMessageCompleted:
      case RunEventKind::kMessageIncomplete: {
        const auto& message = std::get<Message>(event.payload);
        ASSERT_EQ(open_message_, message.id.value);
        std::string whole;
        for (const ContentPart& part : message.content) whole += part.text;
        if (!replayed_) {
          ASSERT_EQ(whole, text_) << "the deltas do not add up";
        }
        open_message_.clear();
        break;
      }
      case RunEventKind::kRunCompleted:
      case RunEventKind::kRunIncomplete:
      case RunEventKind::kRunFailed:
      case RunEventKind::kRunCancelled:
      case RunEventKind::kRunExpired: {
        const auto& run = std::get<Run>(event.payload);
        ASSERT_TRUE(open_steps_.empty()) << "a step is left open";
        ASSERT_EQ(open_message_, "") << "a message is left open";
        ASSERT_FALSE(IsActive(run.status));
        ASSERT_FALSE(run.expires_at.has_value());
        ASSERT_TRUE(run.usage.has_value());
        over_ = true;
        break;
      }
      default:
        break;
    }
  }
  // What the stored log says, in which there are no deltas. Afterwards the open message is written anew.
  void Replay(const RunEvent& event) {
    replayed_ = true;
    if (!IsDelta(event.kind)) Read(event);
    replayed_ = false;
    text_.clear();
  }
  bool over() const { return over_; }

 private:
  bool replayed_ = false;
  std::set<std::string> steps_;
  std::set<std::string> messages_;
  std::set<std::string> open_steps_;
  std::string open_message_;
  std::string text_;
  bool over_ = false;
};

// What a storage would hold after these events and kept steps.
class Storage {
 public:
  void Apply(const Effect& write) {
    if (const auto* keep = std::get_if<KeepStep>(&write)) Put(keep->step);
    if (const auto* emit = std::get_if<Emit>(&write)) {
      for (const RunEvent& event : emit->events) Store(event);
    }
  }
  void Store(const RunEvent& event) {
    if (const auto* run = std::get_if<Run>(&event.payload)) run_ = *run;
    if (const auto* step = std::get_if<RunStep>(&event.payload)) Put(*step);
    if (const auto* message = std::get_if<Message>(&event.payload)) {
      for (Message& known : messages) {
        if (known.id == message->id) {
          known = *message;
          return;
        }
      }
      messages.push_back(*message);
    }
  }
  void Put(const RunStep& step) {
    for (RunStep& known : steps) {
      if (known.id == step.id) {
        known = step;
        return;
      }
    }
    steps.push_back(step);
  }

  Run run_;
  std::vector<RunStep> steps;
  std::vector<Message> messages;
};

class Life {
 public:
  explicit Life(uint32_t seed) : random_(seed), run_({CodeToolOf(), SearchToolOf(), FunctionNamed("f")}) {
    run_.limits.rounds_max = 8;
    created_ = run_.state.run;
  }

  void Live() {
    for (int i = 0; i < 400 && !run_.state.IsOver(); ++i) {
      Happen();
      Follow();
      // An end that was not stored is none.
      if (run_.state.IsOver() && durable_ < run_.writes.size() && Pick(4) == 0) Restart();
      if (::testing::Test::HasFatalFailure()) return;
    }
    if (!run_.state.IsOver()) {
      run_.Feed(TimeIsUp{});
      Follow();
    }
    ASSERT_TRUE(reader_.over());
    // Whatever comes afterwards is nothing.
    for (int i = 0; i < 20; ++i) Happen();
    Follow();
  }
  RunStatus end() const { return run_.state.run.status; }

 private:
  int Pick(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }
  // An answer may come for what was asked last, or late for something older.
  uint64_t Op() { return Pick(5) == 0 && run_.state.op > 0 ? run_.state.op - 1 : run_.state.op; }

  void Happen() {
    switch (Pick(16)) {
      case 0:
        run_.Feed(TakenUp{});
        break;
      case 1:
        run_.Feed(Prepared{});
        break;
      case 2:
      case 3: {
        static const char* const kTexts[] = {"a", "【0:0†x】", "【", "sandbox:/mnt", "/data/y ", "é"};
        run_.Feed(ModelSaid{.op = Op(), .delta = {.text = kTexts[Pick(6)]}});
        break;
      }
      case 4:
      case 5: {
        static const char* const kNames[] = {"code_interpreter", "file_search", "f", "g", ""};
        static const char* const kArguments[] = {R"({"code": "1", "query": "q"})", "{", "", "oops"};
        run_.Feed(ModelSaid{.op = Op(),
                            .delta = {.tool_calls = {{.index = Pick(3),
                                                      .id = Pick(2) == 0 ? "" : "call_" + std::to_string(Pick(3)),
                                                      .name = kNames[Pick(5)],
                                                      .arguments = kArguments[Pick(4)]}}}});
        break;
      }
      case 6:
      case 7:
      case 8: {
        static const ChatEnd::Reason kReasons[] = {ChatEnd::Reason::kStop, ChatEnd::Reason::kToolCalls,
                                                   ChatEnd::Reason::kToolCalls, ChatEnd::Reason::kLength};
        run_.Feed(ModelEnded{.op = Op(), .end = ChatEnd{.reason = kReasons[Pick(4)]}});
        break;
      }
      case 9:
        StartCode();
        run_.Feed(CodeSaid{.op = Op(), .call = static_cast<std::size_t>(Pick(3)), .logs = "log"});
        break;
      case 10:
      case 11:
        StartCode();
        run_.Feed(CodeEnded{.op = Op(),
                            .call = static_cast<std::size_t>(Pick(3)),
                            .outcome = CodeOutcome{.text = "loglog",
                                                   .images = {FileId("file-1")},
                                                   .files = {{.path = "y", .file_id = FileId("file-2")}}}});
        break;
      case 12:
      case 13:
        run_.Feed(SearchEnded{.op = Op(),
                              .call = static_cast<std::size_t>(Pick(3)),
                              .results = std::vector<SearchResult>{{.file_id = FileId("f"), .file_name = "x"}}});
        break;
      case 14:
        if (run_.state.run.status == RunStatus::kRequiresAction) {
          std::vector<ToolOutput> outputs;
          for (const ToolCall& call : run_.state.run.required_calls) outputs.push_back({call.id, "out"});
          ASSERT_TRUE(CheckOutputs(run_.state.run, outputs).ok());
          durable_ = run_.writes.size();  // the client has seen that it is asked
          run_.Feed(OutputsSubmitted{.outputs = std::move(outputs)});
        } else {
          run_.Feed(OutputsSubmitted{});
        }
        break;
      case 15:
        switch (Pick(12)) {
          case 0:
            run_.Feed(CancelRequested{});
            break;
          case 1:
            run_.Feed(TimeIsUp{});
            break;
          case 2:
            run_.Feed(ModelEnded{.op = Op(), .end = absl::UnavailableError("away")});
            break;
          case 3:
          case 4:
          case 5:
            Restart();
            break;
          default:
            break;
        }
        break;
    }
  }

  void Follow() {
    for (; seen_ < run_.events.size(); ++seen_) {
      reader_.Read(run_.events[seen_]);
      if (::testing::Test::HasFatalFailure()) return;
    }
    for (const RunCode& code : run_.Taken<RunCode>()) {
      if (!run_.state.tools_step.has_value()) continue;
      code_ = {run_.state.tools_step->id.value, code.call};
      code_needs_ = 0;
      for (std::size_t i = 0; i < run_.writes.size(); ++i) {
        if (std::holds_alternative<KeepStep>(run_.writes[i])) code_needs_ = i + 1;
      }
      if (Pick(2) == 0) StartCode();
    }
    run_.effects.clear();
  }

  // It begins once its step is durable; until then a restart may lose both.
  void StartCode() {
    if (!code_.has_value()) return;
    durable_ = std::max(durable_, code_needs_);
    ASSERT_TRUE(started_.insert(*code_).second) << "code was started twice";
    code_.reset();
  }

  // Anything that was not durable may be lost, from some write on.
  void Restart() {
    Follow();
    const int lost_least = run_.state.IsOver() ? 1 : 0;
    const int kept_most = static_cast<int>(run_.writes.size() - durable_) - lost_least;
    if (kept_most < 0) return;
    const std::size_t cut = durable_ + Pick(kept_most + 1);
    run_.writes.resize(cut);
    durable_ = cut;
    code_.reset();
    Storage storage;
    storage.run_ = created_;
    reader_ = StreamReader();
    for (const Effect& write : run_.writes) {
      storage.Apply(write);
      const auto* emit = std::get_if<Emit>(&write);
      for (const RunEvent& event : emit != nullptr ? emit->events : std::vector<RunEvent>()) reader_.Replay(event);
    }
    run_.Begin(storage.run_, storage.steps, storage.messages);
    Follow();
  }

  std::mt19937 random_;
  MachineFixture run_;
  StreamReader reader_;
  Run created_;
  std::size_t seen_ = 0;
  // Of run_.writes, those that no restart can lose.
  std::size_t durable_ = 0;
  // Code that waits for its step to be durable, and how many writes that takes.
  std::optional<std::pair<std::string, std::size_t>> code_;
  std::size_t code_needs_ = 0;
  std::set<std::pair<std::string, std::size_t>> started_;
};

TEST(RunInterleavings, EveryLifeIsWellFormed) {
  std::map<RunStatus, int> ends;
  for (uint32_t seed = 1; seed <= 20'000; ++seed) {
    Life life(seed);
    life.Live();
    ASSERT_FALSE(HasFatalFailure()) << "seed " << seed;
    ++ends[life.end()];
  }
  // Lives that never get anywhere would prove nothing.
  for (const RunStatus status : {RunStatus::kCompleted, RunStatus::kIncomplete, RunStatus::kFailed,
                                 RunStatus::kCancelled, RunStatus::kExpired}) {
    EXPECT_GT(ends[status], 200) << RunStatusName(status);
  }
}

}  // namespace
}  // namespace carrel::gateway
