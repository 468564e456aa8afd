// The words of a PDF, through poppler-cpp.
#pragma once

#include <string_view>

#include "frame_writer.h"
#include "retrieval/wire.h"

namespace carrel::retrieval::extract {

// Writes DOCUMENT, BEGIN/PAGE... and OUTLINE frames and returns the verdict. `bytes` is whole in memory, as Poppler
// wants it. Throws what FrameWriter throws, and std::bad_alloc also for allocations that Poppler made light of.
[[nodiscard]] Verdict ExtractPdf(std::string_view bytes, const wire::Request& request, FrameWriter& out);

}  // namespace carrel::retrieval::extract
