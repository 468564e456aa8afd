#include "plain_text.h"

#include <cstdio>
#include <string>

#include "utf.h"

namespace carrel::retrieval::extract {
namespace {

using wire::ExtractVerdict;

Verdict Refuse(const char* what, size_t offset) {
  std::string sentence = "It is not text: ";
  sentence += what;
  sentence += " at byte " + std::to_string(offset) + "; UTF-8, UTF-16 with a byte order mark and ASCII are read.";
  return {.verdict = ExtractVerdict::kUnsupported, .detail = offset, .sentence = std::move(sentence)};
}

struct Decoded {
  std::string text;  // UTF-8
  bool good = false;
  Verdict refusal;
};

Decoded DecodeUtf16(std::string_view bytes, bool big_endian) {
  Decoded result;
  result.text.reserve(bytes.size());
  const auto unit = [&](size_t at) {
    const auto first = static_cast<unsigned char>(bytes[at]);
    const auto second = static_cast<unsigned char>(bytes[at + 1]);
    return static_cast<uint16_t>(big_endian ? first << 8 | second : second << 8 | first);
  };
  for (size_t at = 2; at < bytes.size(); at += 2) {
    if (at + 1 >= bytes.size()) return {.refusal = Refuse("half a UTF-16 unit", at)};
    char32_t c = unit(at);
    if (c >= 0xDC00 && c < 0xE000) return {.refusal = Refuse("an unpaired surrogate", at)};
    if (c >= 0xD800 && c < 0xDC00) {
      if (at + 3 >= bytes.size()) return {.refusal = Refuse("an unpaired surrogate", at)};
      const char32_t low = unit(at + 2);
      if (low < 0xDC00 || low >= 0xE000) return {.refusal = Refuse("an unpaired surrogate", at)};
      c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
      at += 2;
    }
    if (c == 0) return {.refusal = Refuse("a zero character", at)};
    AppendUtf8(c, result.text);
  }
  result.good = true;
  return result;
}

Decoded Decode(std::string_view bytes) {
  if (bytes.starts_with("\xFF\xFE")) return DecodeUtf16(bytes, false);
  if (bytes.starts_with("\xFE\xFF")) return DecodeUtf16(bytes, true);
  const size_t mark = bytes.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  if (const auto fault = FirstNotUtf8(bytes)) return {.refusal = Refuse("no UTF-8", *fault)};
  if (const size_t zero = bytes.find('\0'); zero != std::string_view::npos) {
    return {.refusal = Refuse("a zero byte", zero)};
  }
  return {.text = std::string(bytes.substr(mark)), .good = true};
}

}  // namespace

Verdict ExtractPlainText(std::string_view bytes, wire::DocumentType type, FrameWriter& out) {
  if (bytes.starts_with("%PDF-")) {
    return {.verdict = ExtractVerdict::kUnsupported, .sentence = "Its name says text and its bytes say PDF."};
  }
  Decoded decoded = Decode(bytes);
  if (!decoded.good) return decoded.refusal;
  if (decoded.text.find_first_not_of(" \t\r\n\f\v") == std::string::npos) {
    return {.verdict = ExtractVerdict::kEmpty, .sentence = "It holds no text."};
  }
  Payload document;
  document.U8(static_cast<uint8_t>(type));
  document.U32(0);
  document.Str16("", 0);
  out.Write(wire::FrameType::kDocument, document);
  std::string_view rest = decoded.text;
  while (!rest.empty()) {
    size_t take = std::min<size_t>(rest.size(), wire::kTextFrameBytes);
    while (take < rest.size() && (static_cast<unsigned char>(rest[take]) & 0xC0u) == 0x80u) --take;
    Payload text;
    text.Str32(rest.substr(0, take));
    out.Write(wire::FrameType::kText, text);
    rest.remove_prefix(take);
  }
  return {.verdict = ExtractVerdict::kRead};
}

}  // namespace carrel::retrieval::extract
