// The order in which a person reads the lines of a page, where Poppler's is not it.
#pragma once

#include <vector>

#include "lines.h"

namespace carrel::retrieval {

// Poppler reads columns one after the other, but goes back and forth between them where they are broken by headings,
// figures or paragraphs of different length. Where lines of prose stand in columns side by side and are not read so,
// they are put in order: column by column, between the lines that run over all of them. Tables are left as they are.
[[nodiscard]] std::vector<Line> InReadingOrder(std::vector<Line> lines);

}  // namespace carrel::retrieval
