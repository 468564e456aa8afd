#include "gateway/openai/responses.h"

#include <gtest/gtest.h>

#include <functional>
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
                                                .citation = {.quote = "q"}}}}}};
  Json annotation = Json::parse(Render(message, kV2))["content"][0]["text"]["annotations"][0];
  EXPECT_EQ(annotation["file_citation"], Json({{"file_id", "file-1"}}));
  annotation = Json::parse(Render(message, kV1))["content"][0]["text"]["annotations"][0];
  EXPECT_EQ(annotation["file_citation"]["quote"], "q");
}

// OpenAI's objects, byte for byte, unless the request asked for more.
TEST(ResponsesTest, MoreIsSaidOnlyToThoseWhoAsk) {
  const View more{.version = ApiVersion::kV2, .carrel = true};
  const auto differ_only_by_more = [](const std::string& plain, const std::string& rich) {
    Json with = Json::parse(rich);
    const Json without = Json::parse(plain);
    std::function<bool(Json&)> strip = [&](Json& json) {
      bool found = json.is_object() && json.erase("x_carrel") > 0;
      for (auto& member : json) found = (member.is_structured() && strip(member)) || found;
      return found;
    };
    EXPECT_TRUE(strip(with)) << rich;
    EXPECT_EQ(with, without);
    EXPECT_EQ(plain.find("x_carrel"), std::string::npos);
  };
  const SearchResult result{.file_id = FileId("file-1"),
                            .score = 0.5,
                            .parts = {.vector_score = 0.75, .vector_rank = 1},
                            .passage = "passage",
                            .passage_span = {.begin = 3, .end = 10},
                            .citations = {{.quote = "quote",
                                           .span = {.begin = 4, .end = 9},
                                           .first_page = 12,
                                           .last_page = 13,
                                           .first_page_label = "x",
                                           .last_page_label = "xi",
                                           .boxes = {{.page = 12, .x_min = 1, .y_max = 2}}}}};
  const Citation& citation = result.citations.front();
  const Message message{.content = {{.text = "1", .annotations = {{.text = "1", .citation = citation, .score = 0.5}}}}};
  const RunStep step{.kind = RunStep::Kind::kToolCalls,
                     .tool_calls = {{.kind = ToolKind::kCodeInterpreter,
                                     .ending = Outcome{.kind = Outcome::Kind::kTimeLimit,
                                                       .limit = LimitKind::kWall,
                                                       .limit_value = 500,
                                                       .limits_touched = {LimitKind::kOutput},
                                                       .usage = {.wall_ms = 501}}},
                                    {.kind = ToolKind::kFileSearch, .search_results = {result}}}};
  const VectorStoreFile file{.filename = "a.pdf", .facts = {.pages = 3, .passages = 9, .verdict = "PARTIAL"}};
  differ_only_by_more(Render(message, kV2), Render(message, more));
  differ_only_by_more(Render(step, kV2), Render(step, more));
  differ_only_by_more(Render(file, kV2), Render(file, more));
  const SearchAnswer answer{.results = {result}, .times = {.elapsed_us = 1500}};
  differ_only_by_more(RenderSearchPage({"q"}, answer, kV2), RenderSearchPage({"q"}, answer, more));

  const Json page = Json::parse(RenderSearchPage({"q"}, answer, more));
  EXPECT_EQ(page["x_carrel"]["elapsed_us"], 1500);
  const Json hit = page["data"][0]["x_carrel"];
  EXPECT_EQ(hit["passage_span"], Json({{"begin", 3}, {"end", 10}}));
  EXPECT_EQ(hit["vector_rank"], 1);
  EXPECT_EQ(hit["citations"][0]["first_page_label"], "x");
  EXPECT_EQ(hit["citations"][0]["boxes"][0],
            Json({{"page", 12}, {"x_min", 1.0}, {"y_min", 0.0}, {"x_max", 0.0}, {"y_max", 2.0}}));
  const Json cited = Json::parse(Render(message, more))["content"][0]["text"]["annotations"][0]["x_carrel"];
  EXPECT_EQ(cited["quote"], "quote");
  EXPECT_EQ(cited["score"], 0.5);
  EXPECT_EQ(cited["last_page"], 13);
  const Json call = Json::parse(Render(step, more))["step_details"]["tool_calls"][0]["x_carrel"];
  EXPECT_EQ(call["kind"], "TIME_LIMIT");
  EXPECT_EQ(call["limit"], "LIMIT_WALL");
  EXPECT_EQ(call["limit_value"], 500);
  EXPECT_EQ(call["limits_touched"], Json::array({"LIMIT_OUTPUT"}));
  EXPECT_EQ(call["usage"]["wall_ms"], 501);
  EXPECT_EQ(Json::parse(Render(file, more))["x_carrel"]["verdict"], "PARTIAL");
}

TEST(ResponsesTest, TheServerSaysWhatItIs) {
  EXPECT_EQ(RenderServer({.version = "1.2", .grpc = "127.0.0.1:8081", .model_host = "localhost:8000"}),
            R"({"object":"carrel.server","version":"1.2","grpc":"127.0.0.1:8081",)"
            R"("model":{"configured":true,"host":"localhost:8000"}})");
  EXPECT_EQ(RenderServer({.version = "1.2"}), R"({"object":"carrel.server","version":"1.2","grpc":null,)"
                                              R"("model":{"configured":false,"host":null}})");
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
