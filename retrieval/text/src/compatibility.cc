#include "compatibility.h"

#include <unicode/normalizer2.h>
#include <unicode/unistr.h>

#include <string_view>

namespace carrel::retrieval {
namespace {

constexpr char32_t kLatinFirst = 0xFB00;
constexpr std::u32string_view kLatin[] = {U"ff", U"fi", U"fl", U"ffi", U"ffl", U"st", U"st"};

// Of U+FE10..FE19 and U+FE30..FE48; U+0000: it stands for itself. Not Unicode's compatibility mapping, which makes
// three full stops of an ellipsis.
constexpr char32_t kVerticalFirst = 0xFE10;
constexpr std::u32string_view kVertical = U"\uFF0C\u3001\u3002\uFF1A\uFF1B\uFF01\uFF1F\u3016\u3017\u2026";
constexpr char32_t kVerticalMoreFirst = 0xFE30;
constexpr std::u32string_view kVerticalMore(
    U"\u2025\u2014\u2013\uFF3F\0\uFF08\uFF09\uFF5B\uFF5D\u3014\u3015\u3010\u3011\u300A\u300B\u3008\u3009\u300C\u300D"
    U"\u300E\u300F\0\0\uFF3B\uFF3D",
    25);

bool AppendFrom(std::u32string_view table, char32_t index, std::u32string& out) {
  if (index >= table.size() || table[index] == U'\0') return false;
  out.push_back(table[index]);
  return true;
}

bool IsShapedArabic(char32_t c) { return (c >= 0xFB50 && c <= 0xFDFF) || (c >= 0xFE70 && c <= 0xFEFC); }

// Unicode's compatibility mapping; the space that carries a lone mark there is left out.
bool AppendArabic(char32_t c, std::u32string& out) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* const table = icu::Normalizer2::getNFKCInstance(error);
  icu::UnicodeString plain;
  if (U_FAILURE(error) || !table->getDecomposition(static_cast<UChar32>(c), plain)) return false;
  for (int32_t i = 0; i < plain.length(); i = plain.moveIndex32(i, 1)) {
    const auto one = static_cast<char32_t>(plain.char32At(i));
    if (one != U' ') out.push_back(one);
  }
  return true;
}

}  // namespace

bool AppendPlain(char32_t c, std::u32string& out) {
  if (c >= kLatinFirst && c < kLatinFirst + std::size(kLatin)) {
    out += kLatin[c - kLatinFirst];
    return true;
  }
  if (c >= kVerticalFirst && c < kVerticalFirst + kVertical.size())
    return AppendFrom(kVertical, c - kVerticalFirst, out);
  if (c >= kVerticalMoreFirst && c < kVerticalMoreFirst + kVerticalMore.size()) {
    return AppendFrom(kVerticalMore, c - kVerticalMoreFirst, out);
  }
  return IsShapedArabic(c) && AppendArabic(c, out);
}

}  // namespace carrel::retrieval
