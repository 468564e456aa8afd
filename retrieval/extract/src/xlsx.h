// Excel workbooks (xlsx).
#pragma once

#include <cstdint>
#include <string_view>

#include "frame_writer.h"

namespace carrel::retrieval::extract {

inline constexpr uint32_t kXlsxColumnsMax = 16'384;      // Excel's
inline constexpr size_t kXlsxCellBytesMax = 256u << 10;  // Excel's 32 767 characters, generously
inline constexpr uint32_t kXlsxSharedStringsMax = 8'000'000;

// A PART a sheet that is shown, with its name as heading; a row is a line with the names of its columns (table_rows.h).
// Values as last computed: text, numbers to fifteen digits, dates and times by the cell's format as ISO 8601,
// percentages, TRUE and FALSE. Hidden sheets and charts' sheets are left out and not counted.
// Sheets are read as they are unpacked, so their size does not matter. Writes DOCUMENT, PART and BLOCKS frames.
[[nodiscard]] Verdict ExtractXlsx(std::string_view bytes, uint32_t sheets_max, FrameWriter& out);

}  // namespace carrel::retrieval::extract
