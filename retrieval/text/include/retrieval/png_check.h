// Whether bytes of an untrusted sender are one plain PNG file, without decoding its pixels. Pure; thread-safe.
//
// The format: https://www.w3.org/TR/png/. Taken are 8 bits a sample, RGB, not interlaced; the chunks IHDR, IDAT…, IEND
// with right checksums and nothing behind them, and between IHDR and IDAT those of kKnownChunks that say how it is
// shown. What a viewer would decode beyond that (text, profiles, animation) has no place in a page.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace carrel::retrieval {

struct PngSize {
  uint32_t width = 0;   // pixels
  uint32_t height = 0;  // pixels
  bool operator==(const PngSize&) const = default;
};

// DATA_LOSS says what is wrong.
[[nodiscard]] absl::StatusOr<PngSize> CheckPng(std::string_view bytes);

}  // namespace carrel::retrieval
