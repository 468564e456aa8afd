// One page of a PDF, drawn through poppler-cpp, with boxes highlighted.
#pragma once

#include <span>
#include <string_view>

#include "frame_writer.h"
#include "retrieval/wire.h"

namespace carrel::retrieval::extract {

// Writes IMAGE frames and returns the verdict: kRead when the picture is whole. Throws what FrameWriter throws, and
// std::bad_alloc also for allocations that Poppler made light of.
[[nodiscard]] Verdict DrawPage(std::string_view bytes, const wire::PictureOrder& order,
                               std::span<const wire::PictureBox> boxes, FrameWriter& out);

}  // namespace carrel::retrieval::extract
