#include "utf8.h"

#include <unicode/utf8.h>

#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "retrieval/document_text.h"

namespace carrel::retrieval {

std::optional<size_t> AppendCodePoints(std::string_view bytes, std::u32string& out) {
  // ICU counts in int32_t.
  constexpr size_t kPiece = std::numeric_limits<int32_t>::max() / 2;
  size_t base = 0;
  while (base < bytes.size()) {
    const auto* data = reinterpret_cast<const uint8_t*>(bytes.data() + base);
    const auto size = static_cast<int32_t>(std::min(bytes.size() - base, kPiece));
    int32_t at = 0;
    while (at < size) {
      const int32_t before = at;
      UChar32 c = 0;
      U8_NEXT(data, at, size, c);
      if (c < 0) {
        // A piece may end within a character.
        if (size == static_cast<int32_t>(kPiece) && size - before < 4) {
          at = before;
          break;
        }
        return base + static_cast<size_t>(before);
      }
      out.push_back(static_cast<char32_t>(c));
    }
    base += static_cast<size_t>(at);
  }
  return std::nullopt;
}

std::string ToUtf8(std::u32string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (const char32_t c : text) {
    uint8_t bytes[U8_MAX_LENGTH];
    int32_t size = 0;
    // What is no code point cannot come out of FromUtf8 or a document; it would be written as U+FFFD.
    const UChar32 safe = c <= 0x10FFFF && !U_IS_SURROGATE(c) ? static_cast<UChar32>(c) : 0xFFFD;
    U8_APPEND_UNSAFE(bytes, size, safe);
    out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  }
  return out;
}

absl::StatusOr<std::u32string> FromUtf8(std::string_view bytes) {
  std::u32string out;
  out.reserve(bytes.size());
  if (const auto fault = AppendCodePoints(bytes, out)) {
    return absl::InvalidArgumentError(absl::StrCat("not UTF-8 at byte ", *fault));
  }
  return out;
}

}  // namespace carrel::retrieval
