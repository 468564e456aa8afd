#include "retrieval/wordpiece.h"

#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "views.h"

namespace carrel::retrieval {
namespace {

using nlohmann::json;

// Words of more characters become [UNK] (max_input_chars_per_word of every published BERT).
constexpr uint32_t kWordCharactersMax = 100;

bool IsCjk(UChar32 c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

bool IsSpace(UChar32 c) { return u_isUWhiteSpace(c) != 0; }

// The general category by the tables of Unicode 8, which is what the reference has: models were trained, and are used
// everywhere else, with these, so a younger character is an unknown symbol, not a mark or a punctuation sign.
uint32_t CategoryMask(UChar32 c) {
  if (c == 0x1734) return U_GC_MN_MASK;  // became a spacing mark in Unicode 14
  if (c == 0x166D) return U_GC_PO_MASK;  // became a symbol in Unicode 12
  UVersionInfo age;
  u_charAge(c, age);
  return age[0] > 8 ? U_GC_CN_MASK : U_GET_GC_MASK(c);
}

bool IsDropped(UChar32 c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  return c == 0 || c == 0xFFFD || (CategoryMask(c) & (U_GC_C_MASK & ~U_GC_CN_MASK)) != 0;
}

bool IsPunctuation(UChar32 c) {
  if (c < 0x80) return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  return (CategoryMask(c) & U_GC_P_MASK) != 0;
}

// Clean, CJK apart, decompose, drop non-spacing marks, lower case. The result is valid UTF-8.
std::string Normalise(std::string_view utf8) {
  std::string out;
  out.reserve(utf8.size() + 16);
  icu::UnicodeString rest;  // the non-ASCII stretches, which need ICU's tables
  static const icu::Normalizer2* const kNfd = [] {
    UErrorCode error = U_ZERO_ERROR;
    return icu::Normalizer2::getNFDInstance(error);
  }();
  const auto flush = [&] {
    if (rest.isEmpty()) return;
    UErrorCode error = U_ZERO_ERROR;
    const icu::UnicodeString decomposed = kNfd->normalize(rest, error);
    for (int32_t i = 0; i < decomposed.length();) {
      const UChar32 c = decomposed.char32At(i);
      i += U16_LENGTH(c);
      if (CategoryMask(c) == U_GC_MN_MASK) continue;
      // Full, but context-free, lower casing of each character on its own (no final sigma).
      if (c < 0x80) {
        out.push_back(static_cast<char>(u_tolower(c)));
      } else {
        // ICU's mapping of a lone capital sigma is the final form; the model's vocabulary has the other.
        icu::UnicodeString one(c == 0x3A3 ? UChar32{0x3C3} : c);
        one.toLower(icu::Locale::getRoot());
        one.toUTF8String(out);
      }
    }
    rest.remove();
  };
  const auto* const bytes = reinterpret_cast<const uint8_t*>(utf8.data());
  const auto size = static_cast<int64_t>(utf8.size());
  for (int64_t i = 0; i < size;) {
    UChar32 c = 0;
    U8_NEXT(bytes, i, size, c);
    if (c < 0 || IsDropped(c)) continue;
    if (IsSpace(c)) {
      flush();
      out.push_back(' ');
    } else if (c < 0x80 && (i >= size || bytes[i] < 0x80)) {
      // ASCII before ASCII: nothing can combine with it.
      flush();
      out.push_back(static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c));
    } else if (IsCjk(c)) {
      rest.append(static_cast<char16_t>(' ')).append(c).append(static_cast<char16_t>(' '));
    } else {
      rest.append(c);
    }
  }
  flush();
  return out;
}

}  // namespace

absl::StatusOr<WordPiece> WordPiece::Load(const std::string& path) {
  std::ifstream in(path);
  if (!in) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  try {
    const json root = json::parse(in);
    const json& model = root.at("model");
    const json& normalizer = root.at("normalizer");
    if (model.at("type") != "WordPiece" || normalizer.at("type") != "BertNormalizer" ||
        normalizer.at("lowercase") != true || model.at("continuing_subword_prefix") != "##") {
      return absl::FailedPreconditionError(absl::StrCat(path, ": not a lower-casing BERT WordPiece tokenizer"));
    }
    WordPiece out;
    for (const auto& [piece, id] : model.at("vocab").items()) {
      const bool continues = piece.starts_with("##") && piece.size() > 2;
      const std::string text = continues ? piece.substr(2) : piece;
      (continues ? out.continuations_ : out.starts_)[text] = id.get<int32_t>();
      out.longest_piece_bytes_ = std::max(out.longest_piece_bytes_, text.size());
    }
    const auto special = [&](const char* name) { return model.at("vocab").at(name).get<int32_t>(); };
    out.unknown_ = special("[UNK]");
    out.cls_ = special("[CLS]");
    out.sep_ = special("[SEP]");
    out.pad_ = special("[PAD]");
    return out;
  } catch (const json::exception& e) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": ", e.what()));
  }
}

// Greedy, longest piece first; a word that cannot be covered is one [UNK].
void WordPiece::AppendWord(std::string_view word, uint32_t characters, std::vector<int32_t>& ids) const {
  if (characters > kWordCharactersMax) return ids.push_back(unknown_);
  const size_t before = ids.size();
  for (size_t begin = 0; begin < word.size();) {
    const auto& pieces = begin == 0 ? starts_ : continuations_;
    size_t length = std::min(word.size() - begin, longest_piece_bytes_);
    auto found = pieces.end();
    for (; length > 0; --length) {
      const bool whole_character = begin + length == word.size() || U8_IS_TRAIL(word[begin + length]) == 0;
      if (whole_character && (found = pieces.find(Sv(word.substr(begin, length)))) != pieces.end()) break;
    }
    if (length == 0) {
      ids.resize(before);
      return ids.push_back(unknown_);
    }
    ids.push_back(found->second);
    begin += length;
  }
}

std::vector<int32_t> WordPiece::Encode(std::string_view utf8) const {
  const std::string text = Normalise(utf8);
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 8);
  size_t word_begin = 0;
  uint32_t characters = 0;
  const auto end_word = [&](size_t end) {
    if (characters > 0) AppendWord(std::string_view(text).substr(word_begin, end - word_begin), characters, ids);
    characters = 0;
  };
  const auto* const bytes = reinterpret_cast<const uint8_t*>(text.data());
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    UChar32 c = 0;
    U8_NEXT_UNSAFE(bytes, i, c);
    if (IsSpace(c)) {
      end_word(begin);
    } else if (IsPunctuation(c)) {
      end_word(begin);
      word_begin = begin;
      characters = 1;
      end_word(i);
    } else {
      if (characters++ == 0) word_begin = begin;
    }
  }
  end_word(text.size());
  return ids;
}

}  // namespace carrel::retrieval
