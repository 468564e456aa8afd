// Reads little-endian numbers and counted strings off untrusted bytes. A read past the end gives zeros and sets
// failed(); the caller looks once, at the end.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace carrel::retrieval {

class ByteReader final {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  template <typename Number>
  Number Get() {
    Number value{};
    if (bytes_.size() < sizeof value) {
      Fail();
      return Number{};
    }
    std::memcpy(&value, bytes_.data(), sizeof value);
    bytes_.remove_prefix(sizeof value);
    return value;
  }
  uint8_t U8() { return Get<uint8_t>(); }
  uint16_t U16() { return Get<uint16_t>(); }
  uint32_t U32() { return Get<uint32_t>(); }
  uint64_t U64() { return Get<uint64_t>(); }
  // Not finite: fails.
  float F32() {
    const auto value = Get<float>();
    if (std::isfinite(value)) return value;
    Fail();
    return 0;
  }
  std::string_view Bytes(size_t size) {
    if (bytes_.size() < size) {
      Fail();
      return {};
    }
    const std::string_view result = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return result;
  }
  std::string_view Str16() { return Bytes(U16()); }
  std::string_view Str32() { return Bytes(U32()); }
  // LEB128, at most 32 bits.
  uint32_t VarU32() {
    uint32_t value = 0;
    for (uint32_t shift = 0; shift < 35; shift += 7) {
      const uint8_t byte = U8();
      if (shift == 28 && byte > 0x0F) break;
      value |= static_cast<uint32_t>(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    Fail();
    return 0;
  }

  [[nodiscard]] size_t left() const { return bytes_.size(); }
  [[nodiscard]] bool failed() const { return failed_; }
  // Everything read and nothing wrong.
  [[nodiscard]] bool done() const { return !failed_ && bytes_.empty(); }

 private:
  void Fail() {
    failed_ = true;
    bytes_ = {};
  }
  std::string_view bytes_;
  bool failed_ = false;
};

}  // namespace carrel::retrieval
