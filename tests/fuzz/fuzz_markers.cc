// Markers in what a model wrote. Promised: each is a verbatim piece of the text at its span, in order and apart; it
// names a hit that there is, or none; and what is no UTF-8 does no harm.
#include "fuzzer.h"
#include "retrieval/annotate.h"
#include "retrieval/document_text.h"

namespace carrel::fuzz {

void Target(std::string_view input) {
  using namespace retrieval;  // NOLINT(google-build-using-namespace)
  Bytes bytes(input);
  const uint32_t hits = bytes.Byte() % 8;
  const std::vector<Marker> markers = FindMarkers(bytes.Rest(), hits);
  for (const Marker& marker : markers) {
    FUZZ_CHECK(marker.text.starts_with("\xE3\x80\x90") && marker.text.ends_with("\xE3\x80\x91"));
    FUZZ_CHECK(marker.text.size() <= 512 && (!marker.hit || *marker.hit < hits));
  }
  // Planted: a finder with room for a dozen.
  FUZZ_CHECK(!Planted() || markers.size() <= 12);
  const auto text = FromUtf8(bytes.Rest());
  if (!text.ok()) return;
  uint32_t end = 0;
  for (const Marker& marker : markers) {
    FUZZ_CHECK(marker.span.begin >= end && !marker.span.empty() && marker.span.end <= text->size());
    FUZZ_CHECK(ToUtf8(std::u32string_view(*text).substr(marker.span.begin, marker.span.size())) == marker.text);
    end = marker.span.end;
  }
}

}  // namespace carrel::fuzz
