// Cells of tables to rows, where Poppler reads them column by column or in no order at all.
#pragma once

#include <vector>

#include "lines.h"

namespace carrel::retrieval {

// Short cells that stand beside others, line for line, follow each other row by row; everything else stays in its
// order.
[[nodiscard]] std::vector<Line> WithTables(std::vector<Line> lines);

}  // namespace carrel::retrieval
