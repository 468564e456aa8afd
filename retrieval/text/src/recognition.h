// Reads the pages of a document that have no words, by character recognition.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "retrieval/frame_decoder.h"
#include "retrieval/recognition.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/jail.h"

namespace carrel::retrieval {

struct RecognitionJob {
  sandbox::JailMaker& jails;
  const std::string& policy;
  const RecognitionOptions& options;
  const UniqueFd& bytes;  // of the PDF
  uint32_t words_per_page_max = 100'000;
  std::function<bool()> cancelled;
};

// Puts words on the pages of `raw` that have none, and notes in it which pages those are and what went wrong. A page
// that cannot be read stays as it is. Errors: CANCELLED, UNAVAILABLE (no jail), INTERNAL.
[[nodiscard]] absl::Status RecognisePages(const RecognitionJob& job, RawDocument& raw);

}  // namespace carrel::retrieval
