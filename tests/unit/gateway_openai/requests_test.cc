#include "gateway/openai/requests.h"

#include <gtest/gtest.h>

#include <string>

#include "gateway/types/error.h"

namespace carrel::gateway::openai {
namespace {

constexpr ApiVersion kV1 = ApiVersion::kV1;
constexpr ApiVersion kV2 = ApiVersion::kV2;

void ExpectError(const absl::Status& status, ErrorKind kind, const std::string& param) {
  std::optional<Error> error = ErrorOf(status);
  ASSERT_TRUE(error.has_value()) << status;
  EXPECT_EQ(error->kind, kind) << status;
  EXPECT_EQ(error->param, param);
}

TEST(RequestsTest, AnAssistantWithEverything) {
  auto parsed = ParseNewAssistant(R"({"model":"m","name":null,"instructions":"i","tools":[{"type":"code_interpreter"},
      {"type":"file_search","file_search":{"max_num_results":5,"ranking_options":{"score_threshold":0.5}}},
      {"type":"function","function":{"name":"f","parameters":{"required":["x"],"properties":{"required":[]}}}}],
      "tool_resources":{"code_interpreter":{"file_ids":["file-1"]},"file_search":{"vector_stores":[{"file_ids":["file-2"]}]}},
      "metadata":{"a":"b"},"temperature":0.5,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}}})",
                                  kV2);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->tools.size(), 3u);
  EXPECT_EQ(parsed->tools[1].file_search.max_num_results, 5);
  EXPECT_EQ(parsed->tools[2].function.parameters.text, R"({"properties":{"required":[]},"required":["x"]})");
  EXPECT_EQ(parsed->tool_resources.code_files->front().value, "file-1");
  EXPECT_EQ(parsed->store->files.front().file_id.value, "file-2");
  EXPECT_EQ(parsed->name, std::nullopt);
  EXPECT_EQ(parsed->response_format.kind, ResponseFormat::Kind::kJsonSchema);
}

TEST(RequestsTest, EachVersionHasItsOwnParameters) {
  constexpr char kOld[] = R"({"model":"m","tools":[{"type":"retrieval"}],"file_ids":["file-1"]})";
  auto old = ParseNewAssistant(kOld, kV1);
  ASSERT_TRUE(old.ok()) << old.status();
  EXPECT_EQ(old->tools.front().kind, ToolKind::kFileSearch);
  EXPECT_EQ(old->files.front().value, "file-1");
  ExpectError(ParseNewAssistant(kOld, kV2).status(), ErrorKind::kInvalidValue, "tools[0].type");
  ExpectError(ParseNewAssistant(R"({"model":"m","file_ids":[]})", kV2).status(), ErrorKind::kParameterUnknown,
              "file_ids");
  ExpectError(ParseNewAssistant(R"({"model":"m","tool_resources":{}})", kV1).status(), ErrorKind::kParameterUnknown,
              "tool_resources");
  auto message = ParseNewMessage(R"({"role":"user","content":"x","file_ids":["file-1"]})", kV1);
  ASSERT_TRUE(message.ok());
  EXPECT_TRUE(message->attachments.front().code_interpreter && message->attachments.front().file_search);
}

TEST(RequestsTest, WhatIsWrongIsNamed) {
  ExpectError(ParseNewAssistant("{}", kV2).status(), ErrorKind::kParameterMissing, "model");
  ExpectError(ParseNewAssistant(R"({"model":1})", kV2).status(), ErrorKind::kWrongType, "model");
  ExpectError(ParseNewAssistant(R"({"model":"m","temperature":3})", kV2).status(), ErrorKind::kNumberAboveMax,
              "temperature");
  ExpectError(ParseNewAssistant(R"({"model":"m","name":")" + std::string(257, 'x') + "\"}", kV2).status(),
              ErrorKind::kStringTooLong, "name");
  ExpectError(ParseNewThread(R"({"messages":[{"role":"user","content":"x","id":"y"}]})", kV2).status(),
              ErrorKind::kParameterUnknown, "messages[0].id");
  ExpectError(ParseNewMessage(R"({"role":"system","content":"x"})", kV2).status(), ErrorKind::kInvalidValue, "role");
  ExpectError(ParseNewMessage(R"({"role":"user","content":[]})", kV2).status(), ErrorKind::kArrayTooShort, "content");
  ExpectError(ParseNewRun(R"({"assistant_id":"a","truncation_strategy":{"type":"last_messages"}})", kV2).status(),
              ErrorKind::kParameterMissing, "truncation_strategy.last_messages");
  ExpectError(ParseNewThread("[]", kV2).status(), ErrorKind::kBodyNotJson, "");
  ExpectError(ParseNewThread("{\"a\":", kV2).status(), ErrorKind::kBodyNotJson, "");
  ExpectError(ParseNewThread(std::string(200'000, '['), kV2).status(), ErrorKind::kBodyNotJson, "");
  ExpectError(ParseNewThread("{\"metadata\":{\"a\":\"\xff\"}}", kV2).status(), ErrorKind::kBodyNotJson, "");
}

TEST(RequestsTest, MetadataIsStringsAndV1MadeThem) {
  ExpectError(ParseNewThread(R"({"metadata":{"modified":true}})", kV2).status(), ErrorKind::kWrongType,
              "metadata.modified");
  auto old = ParseNewThread(R"({"metadata":{"modified":true,"n":1}})", kV1);
  ASSERT_TRUE(old.ok());
  EXPECT_EQ(old->metadata.at("modified"), "True");
  EXPECT_EQ(old->metadata.at("n"), "1");
}

TEST(RequestsTest, NothingAtAllIsAnEmptyThread) {
  EXPECT_TRUE(ParseNewThread("", kV2).ok());
  EXPECT_TRUE(ParseNewThread(" \n", kV1).ok());
  EXPECT_TRUE(ParseNewThread(R"({"messages":null,"metadata":null,"tool_resources":null})", kV2).ok());
}

TEST(RequestsTest, ARunInAllItsChoices) {
  auto run =
      ParseNewRun(R"({"assistant_id":"asst_1","stream":true,"tool_choice":{"type":"function","function":{"name":"f"}},
      "additional_messages":[{"role":"assistant","content":"x"}],"max_completion_tokens":300,"parallel_tool_calls":false,
      "response_format":"auto","tools":[]})",
                  kV2);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_TRUE(run->stream);
  EXPECT_EQ(run->run.tool_choice.function_name, "f");
  EXPECT_EQ(run->run.additional_messages.front().role, Role::kAssistant);
  EXPECT_TRUE(run->run.tools.has_value() && run->run.tools->empty());
  EXPECT_FALSE(run->run.parallel_tool_calls);
}

TEST(RequestsTest, AFilterNestsWithinBounds) {
  auto search = ParseStoreSearch(R"({"query":["a","b"],"filters":{"type":"and","filters":[
      {"type":"eq","key":"k","value":true},{"type":"in","key":"y","value":["2023",2024]}]}})");
  ASSERT_TRUE(search.ok()) << search.status();
  EXPECT_EQ(search->filter->filters[1].values.size(), 2u);
  std::string deep = R"({"type":"eq","key":"k","value":1})";
  for (int i = 0; i < 20; ++i) deep = R"({"type":"or","filters":[)" + deep + "]}";
  EXPECT_FALSE(ParseStoreSearch(R"({"query":"x","filters":)" + deep + "}").ok());
  ExpectError(ParseStoreSearch(R"({"query":"x","max_num_results":51})").status(), ErrorKind::kNumberAboveMax,
              "max_num_results");
}

TEST(RequestsTest, ASearchMaySayTheConstantOfFusion) {
  constexpr char kBody[] = R"({"query":"x","x_carrel":{"rrf_k":10}})";
  EXPECT_EQ(ParseStoreSearch(kBody, true)->ranking.rrf_k, 10);
  EXPECT_FALSE(ParseStoreSearch(kBody).ok()) << "a parameter that OpenAI does not have";
  ExpectError(ParseStoreSearch(R"({"query":"x","x_carrel":{"rrf_k":0}})", true).status(), ErrorKind::kNumberBelowMin,
              "x_carrel.rrf_k");
}

TEST(RequestsTest, AChangeKnowsAbsentFromNull) {
  auto change = ParseAssistantChange(R"({"name":null,"instructions":"new"})", kV2);
  ASSERT_TRUE(change.ok());
  ASSERT_TRUE(change->name.has_value());
  EXPECT_EQ(*change->name, std::nullopt);
  EXPECT_EQ(*change->instructions, "new");
  EXPECT_FALSE(change->description.has_value());
}

}  // namespace
}  // namespace carrel::gateway::openai
