// Extraction of a file on disk with the real carrel-extract as a plain process, for tests of what it reads.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "retrieval/extraction.h"

namespace carrel::testing {

// `name` decides the type (DocumentTypeOf) and defaults to the path; the extractor is the one of this build.
[[nodiscard]] absl::StatusOr<retrieval::Extraction> ExtractFile(const std::string& path,
                                                                const retrieval::ExtractionLimits& limits = {},
                                                                std::string name = "");
// The same of bytes.
[[nodiscard]] absl::StatusOr<retrieval::Extraction> ExtractBytes(const std::string& bytes, const std::string& name,
                                                                 const retrieval::ExtractionLimits& limits = {},
                                                                 const retrieval::RecognitionOptions& recognition = {});

}  // namespace carrel::testing
