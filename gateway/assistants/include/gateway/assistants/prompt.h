// What the model is asked: the conversation so far, cut to what fits. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/ports/chat_model.h"
#include "gateway/ports/code_tool.h"
#include "gateway/types/run.h"
#include "gateway/types/thread.h"

namespace carrel::gateway {

// A file that the code tool finds at /mnt/data/<id>.
struct MountedFile {
  FileId id;
  std::string name;
  Blob blob;
};

// What a run reads before it asks the model for the first time.
struct PromptInputs {
  // The thread's messages, oldest first, without those of the run itself.
  std::vector<Message> history;
  std::vector<MountedFile> files;
  std::vector<StoreId> stores;
  // Of image_file parts: file -> data URL. A file that is not here is described in words.
  std::map<FileId, std::string> images;
  // Links of earlier answers, and the mounted files themselves: path under /mnt/data -> file.
  std::map<std::string, FileId> links;
};

struct Prompt {
  ChatRequest request;
  int64_t estimated_tokens = 0;
  // Even with all that may be left out left out, it is longer than max_prompt_tokens leaves room for.
  bool too_long = false;
};

struct PromptLimits {
  // Of the model.
  int64_t window_tokens = 128'000;
  // What the run has used up so far.
  TokenUsage used;
};

// `turns`: what the model and the tools have said in this run. `first`: the model has not answered in this run yet;
// only then tool_choice can force a call, or it would be forced for ever.
[[nodiscard]] Prompt BuildPrompt(const Run& run, const PromptInputs& inputs, const std::vector<ChatMessage>& turns,
                                 bool first, const PromptLimits& limits);

// A guess without the model's tokenizer: a quarter of the ASCII bytes, and one for every other character.
[[nodiscard]] int64_t EstimateTokens(std::string_view text);

}  // namespace carrel::gateway
