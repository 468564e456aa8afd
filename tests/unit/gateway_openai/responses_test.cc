#include "gateway/openai/responses.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace carrel::gateway::openai {
namespace {

using Json = nlohmann::json;
const View kV1{.version = ApiVersion::kV1};
const View kV2{.version = ApiVersion::kV2};

TEST(ResponsesTest, AnAssistantUnderBothHeaders) {
  Assistant assistant{.id = AssistantId("asst_1"),
                      .created_at = absl::FromUnixSeconds(7),
                      .model = "m",
                      .tools = {{.kind = ToolKind::kFileSearch}, {.function = {.name = "f"}}},
                      .tool_resources = {.code_files = std::vector<FileId>{FileId("file-1")}}};
  EXPECT_EQ(
      Render(assistant, kV2),
      R"({"id":"asst_1","object":"assistant","created_at":7,"name":null,"description":null,"model":"m","instructions":null,)"
      R"("tools":[{"type":"file_search","file_search":{"ranking_options":{"ranker":"default_2024_08_21",)"
      R"("score_threshold":0.0,"hybrid_search":null}}},{"type":"function","function":{"name":"f","parameters":)"
      R"({"type":"object","properties":{}},"strict":false}}],"top_p":1.0,"temperature":1.0,"reasoning_effort":null,)"
      R"("tool_resources":{"code_interpreter":{"file_ids":["file-1"]}},"metadata":{},"response_format":"auto"})");
  Json old = Json::parse(Render(assistant, kV1));
  EXPECT_EQ(old["tools"][0], Json({{"type", "retrieval"}}));
  EXPECT_EQ(old["file_ids"], Json({"file-1"}));
  EXPECT_FALSE(old.contains("tool_resources"));
}

TEST(ResponsesTest, AnEmptyListHasNoEnds) {
  EXPECT_EQ(RenderList(std::vector<Thread>{}, false, kV2),
            R"({"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false})");
}

TEST(ResponsesTest, ARunThatWantsOutputs) {
  gateway::Run run{.id = RunId("run_1"),
                   .status = RunStatus::kRequiresAction,
                   .expires_at = absl::FromUnixSeconds(600),
                   .required_calls = {{.id = CallId("call_1"), .function_name = "f", .arguments = "{}"}},
                   .model = "m"};
  Json json = Json::parse(Render(run, kV2));
  EXPECT_EQ(json["required_action"]["submit_tool_outputs"]["tool_calls"][0],
            Json::parse(R"({"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}})"));
  EXPECT_EQ(json["instructions"], "");
  EXPECT_EQ(json["expires_at"], 600);
  EXPECT_TRUE(json["usage"].is_null());
  EXPECT_TRUE(Json::parse(Render(run, kV1)).contains("file_ids"));
  run.status = RunStatus::kCompleted;
  run.usage = TokenUsage{.prompt_tokens = 3, .completion_tokens = 4};
  json = Json::parse(Render(run, kV2));
  EXPECT_TRUE(json["required_action"].is_null());
  EXPECT_EQ(json["usage"]["total_tokens"], 7);
}

TEST(ResponsesTest, AQuoteIsV1sAlone) {
  Message message{.id = MessageId("msg_1"),
                  .role = Role::kAssistant,
                  .content = {{.text = "a\u30101\u3011",
                               .annotations = {{.text = "\u30101\u3011",
                                                .start_index = 1,
                                                .end_index = 4,
                                                .file_id = FileId("file-1"),
                                                .quote = "q"}}}}};
  Json annotation = Json::parse(Render(message, kV2))["content"][0]["text"]["annotations"][0];
  EXPECT_EQ(annotation["file_citation"], Json({{"file_id", "file-1"}}));
  annotation = Json::parse(Render(message, kV1))["content"][0]["text"]["annotations"][0];
  EXPECT_EQ(annotation["file_citation"]["quote"], "q");
}

TEST(ResponsesTest, DeltasHaveIndexesAndSendNothingTwice) {
  RunEvent event{.kind = RunEventKind::kMessageDelta,
                 .payload = MessageDelta{.message_id = MessageId("msg_1"), .text = "a\nb", .first = true}};
  EventText text = RenderEvent(event, kV2);
  EXPECT_EQ(text.name, "thread.message.delta");
  EXPECT_EQ(text.data.find('\n'), std::string::npos);
  EXPECT_EQ(Json::parse(text.data)["delta"]["content"],
            Json::parse(R"([{"index":0,"type":"text","text":{"value":"a\nb","annotations":[]}}])"));
  event.payload = MessageDelta{.message_id = MessageId("msg_1"), .text = "c"};
  EXPECT_EQ(Json::parse(RenderEvent(event, kV2).data)["delta"]["content"][0]["text"], Json({{"value", "c"}}));

  event = {
      .kind = RunEventKind::kStepDelta,
      .payload = StepDelta{.step_id = StepId("step_1"),
                           .kind = ToolKind::kCodeInterpreter,
                           .output_index = 0,
                           .outputs = {{.logs = "1"}, {.kind = CodeOutput::Kind::kImage, .image = FileId("file-1")}}}};
  Json call = Json::parse(RenderEvent(event, kV2).data)["delta"]["step_details"]["tool_calls"][0];
  EXPECT_EQ(call, Json::parse(R"({"index":0,"type":"code_interpreter","code_interpreter":{"outputs":[
      {"index":0,"type":"logs","logs":"1"},{"index":1,"type":"image","image":{"file_id":"file-1"}}]}})"));
}

TEST(ResponsesTest, BytesThatAreNotTextCannotBreakAnAnswer) {
  Thread thread{.id = ThreadId("thread_1"), .metadata = {{"a", "\xff"}}};
  EXPECT_EQ(Json::parse(Render(thread, kV2))["metadata"]["a"], "\ufffd");
}

}  // namespace
}  // namespace carrel::gateway::openai
