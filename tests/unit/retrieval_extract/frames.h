// Writes frames of retrieval/wire.h by hand, well-formed or not.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "retrieval/wire.h"

namespace carrel::retrieval {

class Bytes final {
 public:
  template <typename Number>
  Bytes& Put(Number value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& U8(uint8_t value) { return Put(value); }
  Bytes& U16(uint16_t value) { return Put(value); }
  Bytes& U32(uint32_t value) { return Put(value); }
  Bytes& U64(uint64_t value) { return Put(value); }
  Bytes& F32(float value) { return Put(value); }
  Bytes& Str16(std::string_view text) {
    U16(static_cast<uint16_t>(text.size()));
    bytes_.append(text);
    return *this;
  }
  Bytes& Str32(std::string_view text) {
    U32(static_cast<uint32_t>(text.size()));
    bytes_.append(text);
    return *this;
  }
  [[nodiscard]] const std::string& str() const { return bytes_; }

 private:
  std::string bytes_;
};

inline std::string Magic() { return std::string(wire::kMagic, sizeof wire::kMagic); }

inline std::string Frame(wire::FrameType type, const Bytes& payload) {
  return Bytes().U32(static_cast<uint32_t>(payload.str().size())).U8(static_cast<uint8_t>(type)).str() + payload.str();
}

inline std::string DocumentFrame(uint32_t pages, std::string_view title = "A title",
                                 wire::DocumentType type = wire::DocumentType::kPdf) {
  return Frame(wire::FrameType::kDocument, Bytes().U8(static_cast<uint8_t>(type)).U32(pages).Str16(title));
}
inline std::string BeginFrame(uint32_t number) { return Frame(wire::FrameType::kBegin, Bytes().U32(number)); }

// The head of a PAGE frame's payload.
inline Bytes PageHead(uint32_t number, uint32_t words, float width = 600, float height = 800) {
  return Bytes().U32(number).F32(width).F32(height).Str16("vii").U32(words);
}
inline Bytes& PutWord(Bytes& page, std::string_view text, float x, float y, uint8_t flags = wire::kSpaceAfter,
                      float size = 10) {
  return page.Str16(text)
      .F32(x)
      .F32(y)
      .F32(x + 5 * static_cast<float>(text.size()))
      .F32(y + size)
      .F32(size)
      .U8(0)
      .U8(flags);
}
inline std::string VerdictFrame(wire::ExtractVerdict verdict, wire::ExtractLimit limit = wire::ExtractLimit::kNone,
                                std::string_view sentence = "") {
  return Frame(wire::FrameType::kVerdict,
               Bytes().U8(static_cast<uint8_t>(verdict)).U8(static_cast<uint8_t>(limit)).U64(0).Str16(sentence));
}

}  // namespace carrel::retrieval
