#include "frame_writer.h"

#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>

#include "last_words.h"

namespace carrel::retrieval::extract {

void Payload::F32(double value) {
  auto narrow = static_cast<float>(value);
  if (!std::isfinite(narrow)) narrow = 0;
  Raw(&narrow, sizeof narrow);
}

void Payload::Str16(std::string_view text, size_t bytes_max) {
  bytes_max = std::min<size_t>(bytes_max, std::numeric_limits<uint16_t>::max());
  if (text.size() > bytes_max) {
    size_t end = bytes_max;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0u) == 0x80u) --end;
    text = text.substr(0, end);
  }
  U16(static_cast<uint16_t>(text.size()));
  bytes_.append(text);
}

void Payload::Str32(std::string_view text) {
  U32(static_cast<uint32_t>(text.size()));
  bytes_.append(text);
}

void Payload::SetU32(size_t at, uint32_t value) { std::memcpy(bytes_.data() + at, &value, sizeof value); }

void FrameWriter::WriteAll(const char* data, size_t size) {
  while (size > 0) {
    const ssize_t wrote = ::write(fd_, data, size);
    if (wrote < 0) {
      if (errno == EINTR) continue;
      throw OutputClosed{errno};
    }
    data += wrote;
    size -= static_cast<size_t>(wrote);
  }
}

void FrameWriter::Magic() { WriteAll(wire::kMagic, sizeof wire::kMagic); }

void FrameWriter::Write(wire::FrameType type, const Payload& payload) {
  const size_t size = payload.size();
  if (size > wire::kFrameBytesMax || size + wire::kFrameHeaderBytes > bytes_left_) throw OutputLimit{bytes_max_};
  bytes_left_ -= size + wire::kFrameHeaderBytes;
  std::string frame;
  frame.reserve(size + wire::kFrameHeaderBytes);
  const auto length = static_cast<uint32_t>(size);
  frame.append(reinterpret_cast<const char*>(&length), sizeof length);
  frame.push_back(static_cast<char>(type));
  frame.append(payload.bytes());
  const WholeFrame whole;
  WriteAll(frame.data(), frame.size());
}

void FrameWriter::WriteVerdict(const Verdict& verdict) {
  Payload payload;
  payload.U8(static_cast<uint8_t>(verdict.verdict));
  payload.U8(static_cast<uint8_t>(verdict.limit));
  payload.U64(verdict.detail);
  payload.Str16(verdict.sentence, 1024);
  bytes_left_ = std::numeric_limits<uint64_t>::max();
  Write(wire::FrameType::kVerdict, payload);
}

}  // namespace carrel::retrieval::extract
