// Small values that several objects share.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "gateway/types/ids.h"

namespace carrel::gateway {

// At most 16 pairs, keys of at most 64 and values of at most 512 characters.
using Metadata = std::map<std::string, std::string>;

// A value that travels as it came, as valid JSON text (a function's parameters). Empty: absent. Kept opaque so that
// types need no JSON library.
struct JsonText {
  std::string text;
  bool empty() const { return text.empty(); }
  friend bool operator==(const JsonText&, const JsonText&) = default;
};

// Attributes of a file in a store: at most 16, strings of at most 512 characters.
using AttributeValue = std::variant<std::string, double, bool>;
using Attributes = std::map<std::string, AttributeValue>;

struct TokenUsage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t reasoning_tokens = 0;

  int64_t total_tokens() const { return prompt_tokens + completion_tokens; }
  TokenUsage& operator+=(const TokenUsage& other) {
    prompt_tokens += other.prompt_tokens;
    completion_tokens += other.completion_tokens;
    cached_tokens += other.cached_tokens;
    reasoning_tokens += other.reasoning_tokens;
    return *this;
  }
  friend bool operator==(const TokenUsage&, const TokenUsage&) = default;
};

// Why a run or a step failed, for the user: one sentence.
struct LastError {
  enum class Code { kServerError, kRateLimitExceeded, kInvalidPrompt };
  Code code = Code::kServerError;
  std::string message;
  friend bool operator==(const LastError&, const LastError&) = default;
};

}  // namespace carrel::gateway
