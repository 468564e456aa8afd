// Models that answer in ways of their own: what the run reads of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "gateway/upstream/openai_chat_model.h"
#include "scripted_server.h"

namespace carrel::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Gatherer final : public ChatListener {
 public:
  void OnDelta(ChatDelta delta) override {
    text += delta.text;
    for (const ChatToolDelta& piece : delta.tool_calls) {
      ChatToolCall& call = calls_[piece.index];
      call.id += piece.id;
      call.name += piece.name;
      call.arguments += piece.arguments;
    }
  }
  void OnEnd(absl::StatusOr<ChatEnd> ended) override {
    end = std::move(ended);
    done.Notify();
  }
  // "id name arguments", by index.
  std::vector<std::string> Calls() const {
    std::vector<std::string> calls;
    for (const auto& [index, call] : calls_)
      calls.push_back(absl::StrCat(call.id, " ", call.name, " ", call.arguments));
    return calls;
  }

  std::string text;
  absl::StatusOr<ChatEnd> end = absl::UnknownError("no end");
  absl::Notification done;

 private:
  std::map<int, ChatToolCall> calls_;
};

std::shared_ptr<Gatherer> Answer(const std::vector<std::string>& events, bool last_chunk = true) {
  ScriptedServer server([&](const ScriptedRequest&, ScriptedWire& wire) {
    std::string answer = StreamHead();
    for (const std::string& event : events) answer += Event(event);
    wire.Write(answer);
    return last_chunk && wire.Write(LastChunk());
  });
  UpstreamOptions options{.base_url = absl::StrCat("http://127.0.0.1:", server.port(), "/v1")};
  options.retry.attempts_max = 1;
  options.idle_timeout = absl::Seconds(10);
  auto model = MakeOpenAiChatModel(options);
  EXPECT_TRUE(model.ok()) << model.status();
  auto gatherer = std::make_shared<Gatherer>();
  const auto call = (*model)->Start({.model = "m"}, gatherer);
  EXPECT_TRUE(gatherer->done.WaitForNotificationWithTimeout(absl::Seconds(20)));
  return gatherer;
}

std::string Delta(const std::string& delta) { return R"({"choices":[{"index":0,"delta":)" + delta + "}]}"; }
std::string Call(const std::string& call) { return Delta(R"({"tool_calls":[)" + call + "]}"); }
std::string Finish(const std::string& reason) {
  return R"({"choices":[{"index":0,"delta":{},"finish_reason":)" + reason + "}]}";
}
const std::string kDone = "[DONE]";

TEST(OddModels, CallsInPieces) {
  const auto got = Answer({Call(R"({"index":0,"id":"a","function":{"name":"f"}})"),
                           Call(R"({"index":1,"id":"b","function":{"name":"g","arguments":""}})"),
                           Call(R"({"index":0,"function":{"arguments":"{\"x\""}})"),
                           Call(R"({"index":1,"function":{"arguments":"{}"}})"),
                           Call(R"({"index":0,"function":{"arguments":":1}"}})"), Finish("\"tool_calls\""), kDone});
  EXPECT_THAT(got->Calls(), ElementsAre("a f {\"x\":1}", "b g {}"));
  ASSERT_TRUE(got->end.ok()) << got->end.status();
  EXPECT_EQ(got->end->reason, ChatEnd::Reason::kToolCalls);
  EXPECT_FALSE(got->end->usage.has_value());
}

TEST(OddModels, TheNameComesLaterOrTheIdIsNull) {
  const auto got = Answer({Call(R"({"index":0,"id":null,"function":{"name":null,"arguments":"{"}})"),
                           Call(R"({"index":0,"id":"a","function":{"name":"f","arguments":"}"}})"),
                           Finish("\"tool_calls\""), kDone});
  EXPECT_THAT(got->Calls(), ElementsAre("a f {}"));
}

TEST(OddModels, CallsWithoutIdsIndexesOrFunctions) {
  const auto without_ids =
      Answer({Call(R"({"index":0,"function":{"name":"f","arguments":"{}"}})"),
              Call(R"({"index":1,"function":{"name":"g","arguments":"{}"}})"), Finish("\"tool_calls\""), kDone});
  EXPECT_THAT(without_ids->Calls(), ElementsAre(" f {}", " g {}"));
  const auto without_index =
      Answer({Call(R"({"id":"a","function":{"name":"f","arguments":"{"}})"), Call(R"({"function":{"arguments":"}"}})"),
              Call(R"({"id":"b","function":{"name":"g","arguments":"{}"}})"), Finish("\"stop\""), kDone});
  EXPECT_THAT(without_index->Calls(), ElementsAre("a f {}", "b g {}"));
  const auto nothing = Answer({Call("{}"), Finish("\"tool_calls\""), kDone});
  EXPECT_THAT(nothing->Calls(), ElementsAre("  "));
  EXPECT_TRUE(nothing->end.ok());
}

// Two calls of one id stay two calls where the index tells them apart; the machine gives the second an id of its own.
TEST(OddModels, IdsThatComeTwice) {
  const auto got = Answer({Call(R"({"index":0,"id":"a","function":{"name":"f","arguments":"{}"}})"),
                           Call(R"({"index":1,"id":"a","function":{"name":"f","arguments":"{}"}})"),
                           Finish("\"tool_calls\""), kDone});
  EXPECT_THAT(got->Calls(), ElementsAre("a f {}", "a f {}"));
}

TEST(OddModels, ArgumentsThatAreNotText) {
  const auto got = Answer({Call(R"({"index":0,"id":"a","function":{"name":"f","arguments":{"x":[1]}}})"),
                           Call(R"({"index":1,"id":"b","function":{"name":"g","arguments":null}})"),
                           Call(R"({"index":2,"id":"c","function":{"name":"h","arguments":"{broken"}})"),
                           Finish("\"tool_calls\""), kDone});
  EXPECT_THAT(got->Calls(), ElementsAre("a f {\"x\":[1]}", "b g ", "c h {broken"));
}

TEST(OddModels, EndsOfAllKinds) {
  // [DONE] is missing.
  auto got = Answer({Delta(R"({"content":"all"})"), Finish("\"stop\"")});
  EXPECT_TRUE(got->end.ok()) << got->end.status();
  EXPECT_EQ(got->text, "all");
  // The reason is missing; it is done all the same.
  got = Answer({Delta(R"({"content":"all"})"), kDone});
  ASSERT_TRUE(got->end.ok()) << got->end.status();
  EXPECT_EQ(got->end->reason, ChatEnd::Reason::kStop);
  got = Answer({Delta(R"({"content":"all"})"), Finish("null"), kDone});
  EXPECT_TRUE(got->end.ok()) << got->end.status();
  // An unknown reason is a stop.
  got = Answer({Delta(R"({"content":"all"})"), Finish("\"eos\""), kDone});
  EXPECT_EQ(got->end->reason, ChatEnd::Reason::kStop);
  // Both are missing: nobody can know whether it was all.
  got = Answer({Delta(R"({"content":"half"})")});
  EXPECT_TRUE(absl::IsUnavailable(got->end.status()));
  EXPECT_THAT(std::string(got->end.status().message()), HasSubstr("broke off"));
  // Done, and then not closed properly.
  got = Answer({Delta(R"({"content":"all"})"), Finish("\"stop\""), kDone}, /*last_chunk=*/false);
  EXPECT_TRUE(got->end.ok()) << got->end.status();
}

TEST(OddModels, ChunksWithoutChoices) {
  const auto got =
      Answer({R"({"choices":[],"prompt_filter_results":[]})", R"({"id":"x"})", R"({"choices":null})",
              Delta(R"({"content":null})"), Delta("null"), Delta(R"({"content":"all"})"),
              R"({"choices":[{"index":0,"finish_reason":"stop"}]})", R"({"choices":[],"usage":null})", kDone});
  ASSERT_TRUE(got->end.ok()) << got->end.status();
  EXPECT_EQ(got->text, "all");
  EXPECT_THAT(got->Calls(), IsEmpty());
  EXPECT_FALSE(got->end->usage.has_value());
}

TEST(OddModels, UsageThatIsNoCount) {
  const auto got = Answer({Delta(R"({"content":"all"})"), Finish("\"stop\""),
                           R"({"choices":[],"usage":{"prompt_tokens":-5,"completion_tokens":"many"}})", kDone});
  ASSERT_TRUE(got->end.ok()) << got->end.status();
  EXPECT_EQ(got->end->usage, (TokenUsage{}));
}

}  // namespace
}  // namespace carrel::gateway
