// The arguments that a model writes for a tool call: a JSON object, in pieces, and not always a good one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/types/values.h"

namespace carrel::gateway {

// Decodes one string member of the outermost object while it arrives, so that code can be shown as it is written.
// Whatever is not such an object yields nothing. Not thread-safe.
class StringMemberReader final {
 public:
  explicit StringMemberReader(std::string name) : name_(std::move(name)) {}

  // What `piece` adds to the member's value; whole UTF-8 characters.
  [[nodiscard]] std::string Feed(std::string_view piece);

 private:
  enum class State { kStart, kBeforeKey, kKey, kAfterKey, kBeforeValue, kOurs, kOtherString, kOther, kDone };

  void Take(char c, std::string& out);
  // One character within a string; true: the string has ended.
  bool TakeInString(char c, std::string& decoded);
  void AddUnit(uint32_t unit, std::string& decoded);

  std::string name_;
  State state_ = State::kStart;
  std::string key_;
  int depth_ = 0;  // of the value that is skipped
  bool in_skipped_string_ = false;
  bool escaped_ = false;
  int hex_left_ = 0;
  uint32_t hex_ = 0;
  uint32_t high_surrogate_ = 0;
};

// INVALID_ARGUMENT with a sentence for the model, which says what was wrong and what is right.
[[nodiscard]] absl::StatusOr<std::string> ReadCode(std::string_view arguments);
// "query", or the several "queries" that some models prefer: 1 to 8.
[[nodiscard]] absl::StatusOr<std::vector<std::string>> ReadQueries(std::string_view arguments);
// Whether a function's arguments are a JSON object.
[[nodiscard]] absl::Status CheckArguments(std::string_view arguments);

// JSON schemas of the built-in tools' arguments.
[[nodiscard]] JsonText CodeParameters();
[[nodiscard]] JsonText SearchParameters();

// {"code": "…"}.
[[nodiscard]] std::string WriteCodeArguments(std::string_view code);
// {"broken_arguments": "…"}: what a model wrote instead of JSON, as it can be shown to it again; many servers refuse
// arguments that are not JSON.
[[nodiscard]] std::string WriteBrokenArguments(std::string_view arguments);

}  // namespace carrel::gateway
