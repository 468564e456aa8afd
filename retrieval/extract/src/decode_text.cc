#include "decode_text.h"

#include "sniff.h"
#include "utf.h"

namespace carrel::retrieval::extract {
namespace {

using wire::ExtractVerdict;

Decoded Refuse(const char* what, size_t offset) {
  std::string sentence = "It is not text: ";
  sentence += what;
  sentence += " at byte " + std::to_string(offset) + "; UTF-8, UTF-16 with a byte order mark and ASCII are read.";
  return {.refusal = {.verdict = ExtractVerdict::kUnsupported, .detail = offset, .sentence = std::move(sentence)}};
}

Decoded DecodeUtf16(std::string_view bytes, bool big_endian) {
  std::string text;
  text.reserve(bytes.size());
  const auto unit = [&](size_t at) {
    const auto first = static_cast<unsigned char>(bytes[at]);
    const auto second = static_cast<unsigned char>(bytes[at + 1]);
    return static_cast<uint16_t>(big_endian ? first << 8 | second : second << 8 | first);
  };
  for (size_t at = 2; at < bytes.size(); at += 2) {
    if (at + 1 >= bytes.size()) return Refuse("half a UTF-16 unit", at);
    char32_t c = unit(at);
    if (c >= 0xDC00 && c < 0xE000) return Refuse("an unpaired surrogate", at);
    if (c >= 0xD800 && c < 0xDC00) {
      if (at + 3 >= bytes.size()) return Refuse("an unpaired surrogate", at);
      const char32_t low = unit(at + 2);
      if (low < 0xDC00 || low >= 0xE000) return Refuse("an unpaired surrogate", at);
      c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
      at += 2;
    }
    if (c == 0) return Refuse("a zero character", at);
    AppendUtf8(c, text);
  }
  return {.text = Text(std::move(text))};
}

Decoded Decode(std::string_view bytes) {
  if (bytes.starts_with("\xFF\xFE")) return DecodeUtf16(bytes, false);
  if (bytes.starts_with("\xFE\xFF")) return DecodeUtf16(bytes, true);
  const size_t mark = bytes.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  if (const auto fault = FirstNotUtf8(bytes)) return Refuse("no UTF-8", *fault);
  if (const size_t zero = bytes.find('\0'); zero != std::string_view::npos) return Refuse("a zero byte", zero);
  return {.text = Text(bytes.substr(mark))};
}

}  // namespace

Decoded DecodeText(std::string_view bytes, std::string_view name_says) {
  if (bytes.starts_with("%PDF-") || bytes.starts_with("{\\rtf")) {
    return {.refusal = Mismatch(name_says, LooksLike(bytes))};
  }
  Decoded decoded = Decode(bytes);
  if (!decoded.text) {
    if (const std::string_view looks = LooksLike(bytes); !looks.empty()) {
      decoded.refusal.sentence = Mismatch(name_says, looks).sentence;
    }
    return decoded;
  }
  if (decoded.text->view().find_first_not_of(" \t\r\n\f\v") == std::string::npos) {
    return {.refusal = {.verdict = ExtractVerdict::kEmpty, .sentence = "It holds no text."}};
  }
  return decoded;
}

}  // namespace carrel::retrieval::extract
