// From a document's bytes to its text, through carrel-extract in a jail, with a verdict on how that went.
//
// Thread-safety: an Extractor may be used from any number of threads; each call has its own jailed process.
// Errors: a Status is about us and the machine (UNAVAILABLE: no jail, try again; CANCELLED: the stop token; INTERNAL).
// The fate of the document is the Extraction's verdict.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "retrieval/document_text.h"
#include "retrieval/recognition.h"
#include "retrieval/wire.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/jail.h"

namespace carrel::retrieval {

using DocumentType = wire::DocumentType;

// By the extension, whatever its case; none: a type that is not read.
[[nodiscard]] std::optional<DocumentType> DocumentTypeOf(std::string_view file_name);
// Why a file of that name, which has no DocumentType, is not read, and what would be; one sentence.
[[nodiscard]] std::string UnreadableMessage(std::string_view file_name);
// With the dot, in alphabetical order.
[[nodiscard]] std::vector<std::string> ReadableExtensions();

// The numbers are those of carrel.retrieval.v1.Verdict.
enum class Verdict : uint8_t {
  kRead = 1,
  kPartial = 2,  // read until a limit or a crash; the document holds what was read
  kEncrypted = 3,
  kDamaged = 4,
  kEmpty = 5,
  kNoText = 6,
  kUnsupported = 7,
  kLimit = 8,  // before anything was read
  kCrashed = 9,
  kInternal = 10,
};

struct ExtractionLimits {
  uint64_t document_bytes_max = 512u << 20;
  uint32_t pages_max = 5'000;
  uint32_t words_per_page_max = 100'000;
  uint64_t output_bytes_max = 512u << 20;  // of frames; about 30 bytes a word
  uint64_t text_bytes_max = 128u << 20;    // of frames of what is no PDF: some 100 000 passages
  uint64_t memory_bytes_max = 1u << 30;
  uint64_t cpu_seconds_max = 300;
  absl::Duration wall_max = absl::Minutes(10);
};

struct ExtractionRequest {
  UniqueFd bytes;  // at its start; a regular file
  DocumentType type = DocumentType::kPdf;
  ExtractionLimits limits;
  std::stop_token stop;
  // Called after each page from the thread of the call: pages read, pages in all (0 while unknown). May be empty.
  std::function<void(uint32_t pages_done, uint32_t pages)> on_page;
};

struct Extraction {
  Verdict verdict = Verdict::kInternal;
  std::string message;         // one or two sentences for people; when kRead "", or which pages have no text
  uint32_t pages = 0;          // of the whole document, read or not
  ExtractedDocument document;  // when kRead or kPartial
};

class Extractor {
 public:
  virtual ~Extractor() = default;
  [[nodiscard]] virtual absl::StatusOr<Extraction> Extract(ExtractionRequest request) = 0;
};

// The real one: one jail of `policy` per document. `jails` must outlive it.
[[nodiscard]] std::unique_ptr<Extractor> MakeJailedExtractor(sandbox::JailMaker& jails, std::string policy = "extract",
                                                             RecognitionOptions recognition = {});

}  // namespace carrel::retrieval
