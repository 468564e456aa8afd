// JSON and JSON Lines: what a reader would search for, each object's plain members on one line under its path.
#pragma once

#include <string_view>

#include "frame_writer.h"
#include "retrieval/wire.h"

namespace carrel::retrieval::extract {

inline constexpr size_t kJsonDepthMax = 256;

// {"team": [{"name": "Ada", "tags": ["a", "b"]}]} becomes
//   team[0]: name: Ada
//   team[0].tags: a, b
// Comments are passed over. What is no JSON is DAMAGED, with line and column. Writes DOCUMENT and BLOCKS frames.
[[nodiscard]] Verdict ExtractJson(std::string_view bytes, wire::DocumentType type, FrameWriter& out);

}  // namespace carrel::retrieval::extract
