// From what an extractor sent, and how it ended, to the verdict on the document.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "retrieval/extraction.h"
#include "retrieval/frame_decoder.h"
#include "sandbox/jail.h"

namespace carrel::retrieval {

struct ExtractorEnd {
  bool time_limit = false;                // we stopped it
  absl::Status wire;                      // not OK: it sent what cannot be read, and we stopped it
  std::optional<sandbox::JailExit> exit;  // none: it could not be waited for
};

// Pure.
[[nodiscard]] Extraction Conclude(RawDocument raw, const ExtractorEnd& end, const ExtractionLimits& limits);

}  // namespace carrel::retrieval
