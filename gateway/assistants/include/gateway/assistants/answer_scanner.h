// Finds, in an answer that arrives in pieces, what may become an annotation: the markers 【…】 of citations and links
// to sandbox:/mnt/data/…. Nothing is changed: the segments in order are the answer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace carrel::gateway {

inline constexpr std::string_view kSandboxLink = "sandbox:/mnt/data/";

struct AnswerSegment {
  enum class Kind { kText, kMarker, kLink };
  Kind kind = Kind::kText;
  std::string text;
  friend bool operator==(const AnswerSegment&, const AnswerSegment&) = default;
};

// Holds back only what may still become a marker or a link, at most some hundred bytes. Not thread-safe.
class AnswerScanner final {
 public:
  // What is certain now. Neighbouring text is one segment.
  [[nodiscard]] std::vector<AnswerSegment> Feed(std::string_view piece);
  // What was held back; afterwards the scanner is as new.
  [[nodiscard]] std::vector<AnswerSegment> Finish();

 private:
  [[nodiscard]] std::vector<AnswerSegment> Scan(bool at_end);

  std::string held_;
  // The character before held_: a link in parentheses, as Markdown writes it, ends with the parenthesis.
  char before_ = 0;
};

// Characters as clients count them.
[[nodiscard]] int64_t CountCodePoints(std::string_view utf8);

// "a%20b" -> "a b"; what is no escape stays.
[[nodiscard]] std::string UndoPercents(std::string_view text);

}  // namespace carrel::gateway
