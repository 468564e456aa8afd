// Bytes of a stream made valid UTF-8, piece by piece.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace carrel::interpreter {

// Feeds on the pieces of one stream in order; a character that a piece cuts in two is held back until the next. What is
// not UTF-8 (also surrogates, overlong forms, over U+10FFFF) becomes U+FFFD, one for each maximal invalid part, as the
// Unicode standard recommends. Holds at most 3 bytes.
class Utf8Repair final {
 public:
  [[nodiscard]] std::string Feed(std::string_view bytes);
  // The end of the stream: an unfinished character becomes U+FFFD.
  [[nodiscard]] std::string Finish();

 private:
  std::string held_;
};

// A whole text at once.
[[nodiscard]] std::string RepairUtf8(std::string_view bytes);
[[nodiscard]] bool IsUtf8(std::string_view bytes);

}  // namespace carrel::interpreter
