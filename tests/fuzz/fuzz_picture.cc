// A picture as a taken-over extractor sends it. Promised: the decoder says the same wherever the bytes are cut, and
// what passes as a PNG file has a size, begins as one and ends as one.
#include "fuzzer.h"
#include "retrieval/frame_decoder.h"
#include "retrieval/png_check.h"

namespace carrel::fuzz {
namespace {

std::string Decode(std::string_view stream, uint8_t cuts) {
  retrieval::FrameDecoder decoder({.output_bytes_max = 100'000, .picture = true});
  bool over = false;
  InPieces(stream, cuts, [&](std::string_view piece) {
    if (!over) over = !decoder.Feed(piece).ok();
  });
  FUZZ_CHECK(decoder.document().pages.empty() && decoder.document().text.empty());
  return decoder.document().picture;
}

void CheckPicture(std::string_view png) {
  const auto size = retrieval::CheckPng(png);
  if (!size.ok()) return;
  FUZZ_CHECK(size->width > 0 && size->height > 0);
  FUZZ_CHECK(png.starts_with("\x89PNG") && png.substr(png.size() - 8, 4) == "IEND");
}

}  // namespace

void Target(std::string_view input) {
  Bytes bytes(input);
  const uint8_t cuts = bytes.Byte();
  const std::string_view rest = bytes.Rest();
  const std::string picture = Decode(rest, 0);
  FUZZ_CHECK(Decode(rest, cuts) == picture);
  CheckPicture(picture);
  CheckPicture(rest);
}

}  // namespace carrel::fuzz
