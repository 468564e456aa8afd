#include "plain_text.h"

#include <algorithm>

#include "decode_text.h"

namespace carrel::retrieval::extract {

Verdict ExtractPlainText(std::string_view bytes, wire::DocumentType type, FrameWriter& out) {
  const Decoded decoded = DecodeText(bytes, "text");
  if (!decoded.text) return decoded.refusal;
  Payload document;
  document.U8(static_cast<uint8_t>(type));
  document.U32(0);
  document.Str16("", 0);
  out.Write(wire::FrameType::kDocument, document);
  std::string_view rest = decoded.text->view();
  while (!rest.empty()) {
    size_t take = std::min<size_t>(rest.size(), wire::kTextFrameBytes);
    while (take < rest.size() && (static_cast<unsigned char>(rest[take]) & 0xC0u) == 0x80u) --take;
    Payload text;
    text.Str32(rest.substr(0, take));
    out.Write(wire::FrameType::kText, text);
    rest.remove_prefix(take);
  }
  return {.verdict = wire::ExtractVerdict::kRead};
}

}  // namespace carrel::retrieval::extract
