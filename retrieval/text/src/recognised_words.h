// What tesseract found in a picture, as words of a page.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "retrieval/frame_decoder.h"

namespace carrel::retrieval {

struct RecognisedPicture {
  uint32_t width = 0;   // pixels
  uint32_t height = 0;  // pixels
};

// Puts the words of `tsv` (tesseract's output, untrusted) into `page`, which has none, in points of it. A word is as
// high as its line, and lines of a block are of one size of type: what stands in a picture is never quite straight.
// DATA_LOSS: it is no such output, or has more than `words_max`; the page is as it was.
[[nodiscard]] absl::Status PutRecognisedWords(std::string_view tsv, const RecognisedPicture& picture,
                                              uint32_t words_max, RawPage& page);

}  // namespace carrel::retrieval
