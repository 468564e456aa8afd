// Classes of characters that the layout's repair asks for.
#pragma once

#include <unicode/uchar.h>

namespace carrel::retrieval {

inline bool IsHyphen(char32_t c) { return c == U'-' || c == U'\u2010' || c == U'\u00AD' || c == U'\u2011'; }
inline bool IsLetter(char32_t c) { return u_isalpha(static_cast<UChar32>(c)) != 0; }
inline bool IsDigit(char32_t c) { return u_isdigit(static_cast<UChar32>(c)) != 0; }
inline bool IsLower(char32_t c) { return u_islower(static_cast<UChar32>(c)) != 0; }
inline bool IsUpper(char32_t c) { return u_isupper(static_cast<UChar32>(c)) != 0; }
inline bool IsSpace(char32_t c) { return u_isUWhiteSpace(static_cast<UChar32>(c)) != 0; }
inline char32_t Lower(char32_t c) { return static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))); }
inline bool IsMark(char32_t c) { return (U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_M_MASK) != 0; }

// Letters of scripts that are written without spaces, and their punctuation: lines of them join without one.
inline bool IsUnspaced(char32_t c) {
  return (c >= 0x2E80 && c <= 0x30FF) || (c >= 0x31C0 && c <= 0x4DBF) || (c >= 0x4E00 && c <= 0x9FFF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFE30 && c <= 0xFE4F) || (c >= 0xFF00 && c <= 0xFF60) ||
         (c >= 0x20000 && c <= 0x3FFFF);
}

// Ends a sentence, closing quotes and brackets aside.
inline bool IsTerminal(char32_t c) {
  return c == U'.' || c == U'!' || c == U'?' || c == U':' || c == U';' || c == U'\u3002' || c == U'\uFF01' ||
         c == U'\uFF1F' || c == U'\u2026' || c == U'\u061F' || c == U'\u06D4';
}
inline bool IsCloser(char32_t c) {
  return c == U'"' || c == U'\'' || c == U')' || c == U']' || c == U'\u201D' || c == U'\u2019' || c == U'\u00BB' ||
         c == U'\u300D' || c == U'\u300F' || c == U'\uFF09';
}

enum class Direction { kNeutral, kLeftToRight, kRightToLeft };
inline Direction DirectionOf(char32_t c) {
  switch (u_charDirection(static_cast<UChar32>(c))) {
    case U_LEFT_TO_RIGHT:
      return Direction::kLeftToRight;
    case U_RIGHT_TO_LEFT:
    case U_RIGHT_TO_LEFT_ARABIC:
      return Direction::kRightToLeft;
    default:
      return Direction::kNeutral;
  }
}

}  // namespace carrel::retrieval
