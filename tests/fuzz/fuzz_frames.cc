// The driver's channel: whatever bytes the code writes into it. Promised: the same frames wherever the bytes are cut,
// text that is valid UTF-8, sizes that are the sizes, and never more than the limit in one frame.
#include <variant>

#include "fuzzer.h"
#include "interpreter/engine/frames.h"
#include "interpreter/engine/utf8.h"

namespace carrel::fuzz {
namespace {

using namespace interpreter;  // NOLINT(google-build-using-namespace)

constexpr uint64_t kFrameBytesMax = 2000;

// Everything that was read, as text; ends at the first frame that is none.
std::string ReadFrames(std::string_view stream, uint8_t cuts) {
  std::string read;
  bool over = false;
  FrameReader reader(kFrameBytesMax);
  InPieces(stream, cuts, [&](std::string_view piece) {
    if (over) return;
    // Planted: what comes alone and looks like the beginning of a length is lost.
    if (Planted() && piece.size() == 1 && piece.front() == '\x01') return;
    reader.Append(piece);
    while (!over) {
      const auto frame = reader.Next();
      if (!frame) return;
      if (!frame->ok()) {
        over = true;
        read += "broken";
        return;
      }
      read += std::to_string((*frame)->index()) + ";";
      if (const auto* display = std::get_if<DisplayFrame>(&**frame)) {
        uint64_t bytes = 0;
        for (const auto& [media_type, data] : display->display.data) {
          FUZZ_CHECK(IsUtf8(media_type));
          read += media_type + "=" + data + ";";
          bytes += data.size();
        }
        FUZZ_CHECK(display->data_bytes <= kFrameBytesMax);
        FUZZ_CHECK(bytes <= 3 * kFrameBytesMax);
      } else if (const auto* done = std::get_if<DoneFrame>(&**frame)) {
        for (const std::string* text : {&done->exception.name, &done->exception.value, &done->exception.traceback}) {
          FUZZ_CHECK(IsUtf8(*text));
          read += *text + ";";
        }
      } else if (const auto* dropped = std::get_if<DroppedFrame>(&**frame)) {
        read += std::to_string(dropped->bytes) + ";";
      }
    }
  });
  return read;
}

}  // namespace

void Target(std::string_view input) {
  Bytes bytes(input);
  const uint8_t cuts = bytes.Byte();
  FUZZ_CHECK(ReadFrames(bytes.Rest(), cuts) == ReadFrames(bytes.Rest(), 0));
  // Once more as one frame of the right length, so that mutations reach what is in it.
  std::string_view body = bytes.Rest();
  if (body.size() >= 4) body = body.substr(4, kFrameBytesMax);
  std::string framed;
  for (size_t i = 0; i < 4; ++i) framed.push_back(static_cast<char>(body.size() >> (8 * i)));
  framed.append(body);
  FUZZ_CHECK(ReadFrames(framed, cuts) == ReadFrames(framed, 0));
}

}  // namespace carrel::fuzz
