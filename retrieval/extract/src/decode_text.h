// Bytes of text files to UTF-8.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "frame_writer.h"

namespace carrel::retrieval::extract {

// UTF-8 text, of the bytes that it was made of or of its own.
class Text final {
 public:
  explicit Text(std::string_view bytes) : view_(bytes) {}
  explicit Text(std::string text) : own_(std::move(text)), is_own_(true) {}
  [[nodiscard]] std::string_view view() const { return is_own_ ? std::string_view(own_) : view_; }

 private:
  std::string_view view_;
  std::string own_;
  bool is_own_ = false;
};

struct Decoded {
  std::optional<Text> text;  // none: refused
  Verdict refusal;
};

// UTF-8 with or without its mark, UTF-16 with its byte order mark, ASCII; anything else, and zero characters, is
// refused with its offset, and with what it looks like. White space alone is EMPTY. `name_says`: as in Mismatch.
[[nodiscard]] Decoded DecodeText(std::string_view bytes, std::string_view name_says);

}  // namespace carrel::retrieval::extract
