#include "chat_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace carrel::gateway {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;

TEST(ChatRequest, SaysAllThatWasAsked) {
  ChatRequest request{.model = "mine", .temperature = 0.5, .max_completion_tokens = 99, .reasoning_effort = "low"};
  request.messages = {
      {.role = ChatMessage::Role::kSystem, .parts = {{.text = "Be brief."}}},
      {.role = ChatMessage::Role::kUser, .parts = {{.text = "a"}, {.text = "b\xFF"}}},
      {.role = ChatMessage::Role::kAssistant, .tool_calls = {{.id = "call_1", .name = "f", .arguments = "{broken"}}},
      {.role = ChatMessage::Role::kTool, .parts = {{.text = "out"}}, .tool_call_id = "call_1"},
      {.role = ChatMessage::Role::kUser,
       .parts = {{.text = "see"},
                 {.kind = ChatPart::Kind::kImageUrl, .image_url = "data:image/png;base64,AA==", .detail = "low"}}}};
  request.tools = {{.name = "f", .description = "does f", .parameters = {R"({"type":"object","required":"x"})"}},
                   {.name = "g", .strict = true}};
  request.tool_choice = {.kind = ToolChoice::Kind::kFunction, .function_name = "g"};
  request.parallel_tool_calls = false;
  request.response_format = {.kind = ResponseFormat::Kind::kJsonSchema, .json_schema = {R"({"name":"n"})"}};
  const std::map<std::string, std::string> aliases = {{"mine", "theirs"}};
  const auto text = EncodeChatRequest(request, {.aliases = &aliases});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(Json::parse(*text), Json::parse(R"({
    "model": "theirs", "stream": true, "stream_options": {"include_usage": true},
    "temperature": 0.5, "max_completion_tokens": 99, "reasoning_effort": "low", "parallel_tool_calls": false,
    "response_format": {"type": "json_schema", "json_schema": {"name": "n"}},
    "tool_choice": {"type": "function", "function": {"name": "g"}},
    "tools": [{"type": "function", "function": {"name": "f", "description": "does f",
                "parameters": {"type": "object", "required": "x"}}},
              {"type": "function", "function": {"name": "g", "strict": true}}],
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a\nb\ufffd"},
      {"role": "assistant", "content": null,
       "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{broken"}}]},
      {"role": "tool", "content": "out", "tool_call_id": "call_1"},
      {"role": "user", "content": [{"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}]}]})"));
}

TEST(ChatRequest, WithoutToolsSpeaksOfNone) {
  const auto text = EncodeChatRequest({.model = "m"}, {.ask_for_usage = false});
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(Json::parse(*text), Json::parse(R"({"model": "m", "messages": [], "stream": true})"));
}

TEST(ChatRequest, ParametersThatAreNotJsonAreRefused) {
  const auto text = EncodeChatRequest({.model = "m", .tools = {{.name = "f", .parameters = {"{"}}}}, {});
  EXPECT_TRUE(absl::IsInvalidArgument(text.status()));
}

TEST(ChatDecoder, ReadsTextToolsAndUsage) {
  ChatDecoder decoder;
  EXPECT_EQ(decoder.Decode(R"({"choices":[{"delta":{"role":"assistant","content":"Hi"}}]})")->text, "Hi");
  EXPECT_EQ(decoder.Decode(R"({"choices":[{"delta":{"refusal":"no"}}]})")->refusal, "no");
  auto delta = decoder.Decode(
      R"({"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{\"a"}},
                                             {"index":1,"id":"c2","function":{"name":"g"}}]}}]})");
  ASSERT_TRUE(delta.ok()) << delta.status();
  ASSERT_EQ(delta->tool_calls.size(), 2U);
  EXPECT_EQ(delta->tool_calls[0].name, "f");
  EXPECT_EQ(delta->tool_calls[1].id, "c2");
  EXPECT_FALSE(decoder.end().has_value());
  EXPECT_TRUE(decoder.Decode(R"({"choices":[{"delta":{},"finish_reason":"tool_calls"}]})").ok());
  EXPECT_TRUE(decoder
                  .Decode(R"({"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,
                              "prompt_tokens_details":{"cached_tokens":2},
                              "completion_tokens_details":{"reasoning_tokens":3}}})")
                  .ok());
  ASSERT_TRUE(decoder.end().has_value());
  EXPECT_EQ(decoder.end()->reason, ChatEnd::Reason::kToolCalls);
  EXPECT_EQ(decoder.end()->usage, (TokenUsage{5, 7, 2, 3}));
}

TEST(ChatDecoder, ForgivesServersThatDiffer) {
  ChatDecoder decoder;
  // No index; id and name in every piece; arguments as an object.
  auto first =
      decoder.Decode(R"({"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{"}}]}}]})");
  auto again =
      decoder.Decode(R"({"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"}"}}]}}]})");
  auto second = decoder.Decode(
      R"({"choices":[{"delta":{"tool_calls":[{"id":"b","function":{"name":"g","arguments":{"x":1}}}]}}]})");
  ASSERT_TRUE(first.ok() && again.ok() && second.ok());
  EXPECT_EQ(first->tool_calls[0].id, "a");
  EXPECT_EQ(again->tool_calls[0].index, 0);
  EXPECT_EQ(again->tool_calls[0].id, "");
  EXPECT_EQ(again->tool_calls[0].name, "");
  EXPECT_EQ(again->tool_calls[0].arguments, "}");
  EXPECT_EQ(second->tool_calls[0].index, 1);
  EXPECT_EQ(second->tool_calls[0].arguments, R"({"x":1})");
  // A whole completion.
  ChatDecoder whole;
  EXPECT_EQ(whole.Decode(R"({"choices":[{"message":{"content":"all"},"finish_reason":"stop"}]})")->text, "all");
  EXPECT_EQ(whole.end()->reason, ChatEnd::Reason::kStop);
}

TEST(ChatDecoder, NamesWhatIsNoAnswer) {
  for (const char* text : {"", "{", "[]", "7", "\"\xFF\"", R"({"choices":7})", R"({"choices":[{"delta":7}]})",
                           R"({"choices":[{"delta":{"content":{}}}]})", R"({"choices":[{"delta":{"tool_calls":{}}}]})",
                           R"({"choices":[{"delta":{"tool_calls":[{"index":1000000000}]}}]})",
                           R"({"choices":[{"delta":{"tool_calls":[{"index":-1}]}}]})"}) {
    EXPECT_TRUE(absl::IsInternal(ChatDecoder().Decode(text).status())) << text;
  }
  const auto error = ChatDecoder().Decode(R"({"error":{"message":"out of order","code":null}})").status();
  EXPECT_TRUE(absl::IsUnavailable(error));
  EXPECT_THAT(std::string(error.message()), HasSubstr("out of order"));
  EXPECT_TRUE(absl::IsResourceExhausted(ChatDecoder().Decode(R"({"error":{"message":"slow","code":429}})").status()));
}

TEST(ChatFailure, KeepsTheModelsWords) {
  EXPECT_EQ(DecodeFailure(400, R"({"error":{"message":"too long"}})"), absl::InvalidArgumentError("too long"));
  EXPECT_EQ(DecodeFailure(404, R"({"detail":"no such model"})"), absl::InvalidArgumentError("no such model"));
  EXPECT_EQ(DecodeFailure(429, R"({"error":"busy"})"), absl::ResourceExhaustedError("busy"));
  EXPECT_TRUE(absl::IsUnauthenticated(DecodeFailure(401, "{}")));
  EXPECT_TRUE(absl::IsUnavailable(DecodeFailure(503, "<html>\xFF")));
  EXPECT_LT(DecodeFailure(500, std::string(100'000, 'x')).message().size(), 1000U);
}

}  // namespace
}  // namespace carrel::gateway
