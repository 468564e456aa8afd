// Tables as text: RFC 4180, and what people make of it.
#pragma once

#include <string_view>

#include "frame_writer.h"
#include "retrieval/wire.h"

namespace carrel::retrieval::extract {

inline constexpr uint32_t kCsvColumnsMax = 16'384;  // Excel's
inline constexpr size_t kCsvCellBytesMax = 1u << 20;

// Fields in quotes hold delimiters, line ends and doubled quotes; rows may be of any length; a quote within a field
// that does not begin with one is itself. The delimiter is the type's, comma or tab; a .csv whose first line has no
// comma is read with its semicolons or tabs, and "sep=;" as Excel writes it is obeyed. Writes DOCUMENT and BLOCKS
// frames.
[[nodiscard]] Verdict ExtractCsv(std::string_view bytes, wire::DocumentType type, FrameWriter& out);

}  // namespace carrel::retrieval::extract
