// What comes out of the jail of an extractor that somebody took over. Promised: an error, or a document whose every
// span lies where it says, however the bytes are cut.
#include <cstring>

#include "document_promises.h"
#include "fuzzer.h"

namespace carrel::fuzz {
namespace {

using namespace retrieval;  // NOLINT(google-build-using-namespace)

constexpr DecoderLimits kLimits = {.pages_max = 50, .words_per_page_max = 500, .output_bytes_max = 1u << 20};

// Frames whose lengths are right, else every mutation would end at one: a byte of type, one of length (in units of 4)
// and the payload.
std::string Framed(std::string_view input) {
  std::string frames(wire::kMagic, sizeof wire::kMagic);
  while (input.size() >= 2) {
    const auto type = static_cast<uint8_t>(input[0]);
    const auto length = static_cast<uint32_t>(std::min<size_t>(static_cast<uint8_t>(input[1]) * 4U, input.size() - 2));
    char head[sizeof length];
    std::memcpy(head, &length, sizeof length);
    frames.append(head, sizeof head);
    frames.push_back(static_cast<char>(type));
    frames.append(input.substr(2, length));
    input.remove_prefix(2 + length);
  }
  return frames;
}

}  // namespace

void Target(std::string_view input) {
  Bytes bytes(input);
  const uint8_t how = bytes.Byte();
  const std::string frames = how % 2 == 0 ? std::string(bytes.Rest()) : Framed(bytes.Rest());

  FrameDecoder whole(kLimits);
  const absl::Status status = whole.Feed(frames);
  FrameDecoder pieces(kLimits);
  absl::Status of_pieces;
  InPieces(frames, how, [&](std::string_view piece) {
    if (of_pieces.ok()) of_pieces = pieces.Feed(piece);
  });
  FUZZ_CHECK(status.code() == of_pieces.code());
  FUZZ_CHECK(whole.document().text == pieces.document().text);
  FUZZ_CHECK(whole.document().blocks.size() == pieces.document().blocks.size());
  FUZZ_CHECK(whole.document().pages.size() == pieces.document().pages.size());
  // What was decoded before an error is kept, and read.
  CheckDocument(whole.TakeDocument());
}

}  // namespace carrel::fuzz
