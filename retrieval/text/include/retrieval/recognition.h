// Character recognition of pages that are pictures of text, by tesseract in a jail: off unless asked for.
//
// Debian: tesseract-ocr and a package for each language (tesseract-ocr-deu). It is not a build dependency.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace carrel::retrieval {

struct RecognitionOptions {
  bool enabled = false;
  std::string languages = "eng";  // as tesseract takes them, "eng+deu"
  uint32_t pages_max = 200;       // of a document
  uint32_t dpi = 300;             // less where a page would have more than 16 million pixels
  // Of each page.
  uint64_t cpu_seconds_max = 60;
  uint64_t memory_bytes_max = 1u << 30;
  absl::Duration wall_max = absl::Minutes(2);
  uint64_t output_bytes_max = 8u << 20;
};

// Whether this machine has it, where the jail looks for it.
[[nodiscard]] bool RecognitionIsInstalled();
// INVALID_ARGUMENT: not 3 to 59 of [A-Za-z_+].
[[nodiscard]] absl::Status CheckLanguages(const std::string& languages);

}  // namespace carrel::retrieval
