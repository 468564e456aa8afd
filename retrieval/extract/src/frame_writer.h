// Frames of retrieval/wire.h onto a descriptor, within the request's output limit.
//
// Not thread-safe. Throws OutputLimit when a frame would pass the limit, and OutputClosed when nobody reads any more;
// std::bad_alloc as everything does.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "retrieval/wire.h"

namespace carrel::retrieval::extract {

struct OutputLimit {
  uint64_t bytes_max;
};
struct OutputClosed {
  int error;
};

// A payload under construction.
class Payload final {
 public:
  void U8(uint8_t value) { bytes_.push_back(static_cast<char>(value)); }
  void U16(uint16_t value) { Raw(&value, sizeof value); }
  void U32(uint32_t value) { Raw(&value, sizeof value); }
  void U64(uint64_t value) { Raw(&value, sizeof value); }
  // What is not finite becomes 0.
  void F32(double value);
  // Cut to `bytes_max` at a character's border.
  void Str16(std::string_view text, size_t bytes_max);
  void Str32(std::string_view text);
  void SetU32(size_t at, uint32_t value);
  [[nodiscard]] size_t size() const { return bytes_.size(); }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  void Raw(const void* data, size_t size) { bytes_.append(static_cast<const char*>(data), size); }
  std::string bytes_;
};

struct Verdict {
  wire::ExtractVerdict verdict = wire::ExtractVerdict::kInternal;
  wire::ExtractLimit limit = wire::ExtractLimit::kNone;
  uint64_t detail = 0;
  std::string sentence;
};

class FrameWriter final {
 public:
  FrameWriter(int fd, uint64_t output_bytes_max)
      : fd_(fd), bytes_left_(output_bytes_max), bytes_max_(output_bytes_max) {}
  void Magic();
  void Write(wire::FrameType type, const Payload& payload);
  // Not counted against the limit: there is always room for the last word.
  void WriteVerdict(const Verdict& verdict);

 private:
  void WriteAll(const char* data, size_t size);
  const int fd_;
  uint64_t bytes_left_;
  const uint64_t bytes_max_;
};

}  // namespace carrel::retrieval::extract
