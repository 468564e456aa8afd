#include "gateway/assistants/prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace carrel::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Message Saying(Role role, std::string text) {
  Message message{.role = role};
  message.content.push_back({.text = std::move(text)});
  return message;
}

std::vector<std::string> Texts(const Prompt& prompt) {
  std::vector<std::string> texts;
  for (const ChatMessage& message : prompt.request.messages) {
    std::string text;
    for (const ChatPart& part : message.parts) text += part.text + part.image_url;
    texts.push_back(text);
  }
  return texts;
}

TEST(Prompt, HasInstructionsHistoryAndTurns) {
  gateway::Run run{.model = "m", .instructions = "Be kind.", .temperature = 0.3};
  PromptInputs inputs;
  inputs.history = {Saying(Role::kUser, "one"), Saying(Role::kAssistant, "two"), Saying(Role::kUser, "three")};
  const Prompt prompt =
      BuildPrompt(run, inputs, {{.role = ChatMessage::Role::kAssistant, .parts = {{.text = "turn"}}}}, false, {});
  EXPECT_THAT(Texts(prompt), ElementsAre("Be kind.", "one", "two", "three", "turn"));
  EXPECT_EQ(prompt.request.temperature, 0.3);
  EXPECT_FALSE(prompt.request.max_completion_tokens.has_value());
  EXPECT_TRUE(prompt.request.tools.empty());
}

TEST(Prompt, KeepsTheNewestThatFit) {
  gateway::Run run;
  PromptInputs inputs;
  for (int i = 0; i < 100; ++i) inputs.history.push_back(Saying(Role::kUser, std::string(400, 'a' + i % 26)));
  const Prompt prompt = BuildPrompt(run, inputs, {}, true, {.window_tokens = 1500});
  EXPECT_EQ(prompt.request.messages.size(), 10U);
  EXPECT_EQ(Texts(prompt).back()[0], 'a' + 99 % 26);
  EXPECT_LE(prompt.estimated_tokens, 1500);

  run.truncation.last_messages = 3;
  EXPECT_EQ(BuildPrompt(run, inputs, {}, true, {}).request.messages.size(), 3U);
}

TEST(Prompt, TheLastMessageAlwaysGoesAlong) {
  gateway::Run run;
  PromptInputs inputs;
  inputs.history = {Saying(Role::kUser, "old"), Saying(Role::kUser, std::string(100'000, 'x'))};
  const Prompt prompt = BuildPrompt(run, inputs, {}, true, {.window_tokens = 1000});
  EXPECT_EQ(prompt.request.messages.size(), 1U);
  EXPECT_FALSE(prompt.too_long);  // the model will say so itself

  run.max_prompt_tokens = 300;
  EXPECT_TRUE(BuildPrompt(run, inputs, {}, true, {}).too_long);
}

TEST(Prompt, LimitsCountWhatWasUsed) {
  gateway::Run run{.max_completion_tokens = 300, .max_prompt_tokens = 256};
  PromptInputs inputs;
  inputs.history = {Saying(Role::kUser, std::string(400, 'x'))};
  const PromptLimits limits{.used = {.prompt_tokens = 200, .completion_tokens = 100}};
  const Prompt prompt = BuildPrompt(run, inputs, {}, true, limits);
  EXPECT_EQ(prompt.request.max_completion_tokens, 200);
  EXPECT_TRUE(prompt.too_long);
}

TEST(Prompt, ForcesAToolOnlyOnce) {
  gateway::Run run{.tools = {{.kind = ToolKind::kCodeInterpreter}},
                   .tool_choice = {.kind = ToolChoice::Kind::kRequired}};
  EXPECT_EQ(BuildPrompt(run, {}, {}, true, {}).request.tool_choice.kind, ToolChoice::Kind::kRequired);
  EXPECT_EQ(BuildPrompt(run, {}, {}, false, {}).request.tool_choice.kind, ToolChoice::Kind::kAuto);
  run.tool_choice.kind = ToolChoice::Kind::kNone;
  EXPECT_EQ(BuildPrompt(run, {}, {}, false, {}).request.tool_choice.kind, ToolChoice::Kind::kNone);
}

TEST(Prompt, TheCodeToolNamesTheFiles) {
  gateway::Run run{.tools = {{.kind = ToolKind::kCodeInterpreter}, {.kind = ToolKind::kFileSearch}}};
  PromptInputs inputs;
  inputs.files = {{.id = FileId("file-1"), .name = "sales.csv"}};
  const Prompt prompt = BuildPrompt(run, inputs, {}, true, {});
  ASSERT_EQ(prompt.request.tools.size(), 2U);
  EXPECT_EQ(prompt.request.tools[0].name, "code_interpreter");
  EXPECT_THAT(*prompt.request.tools[0].description, HasSubstr("/mnt/data/file-1 (sales.csv)"));
  EXPECT_EQ(prompt.request.tools[1].name, "file_search");
}

TEST(Prompt, OldMarkersAreTakenOut) {
  PromptInputs inputs;
  Message answer = Saying(Role::kAssistant, "Yes【0:0†a】, see sandbox:/mnt/data/b.");
  answer.content[0].annotations = {{.kind = Annotation::Kind::kFileCitation, .text = "【0:0†a】"},
                                   {.kind = Annotation::Kind::kFilePath, .text = "sandbox:/mnt/data/b"}};
  inputs.history = {answer};
  EXPECT_THAT(Texts(BuildPrompt({}, inputs, {}, true, {})), ElementsAre("Yes, see sandbox:/mnt/data/b."));
}

TEST(Prompt, ImagesOfUsersAreShown) {
  PromptInputs inputs;
  inputs.images[FileId("file-1")] = "data:image/png;base64,AA==";
  Message message = Saying(Role::kUser, "look: ");
  message.content.push_back({.kind = ContentPart::Kind::kImageFile, .image_file = FileId("file-1")});
  message.content.push_back({.kind = ContentPart::Kind::kImageFile, .image_file = FileId("file-2")});
  inputs.history = {message};
  EXPECT_THAT(Texts(BuildPrompt({}, inputs, {}, true, {})),
              ElementsAre("look: data:image/png;base64,AA==[image file-2]"));
}

}  // namespace
}  // namespace carrel::gateway
