// What a scanner makes of a page: a PDF in which it is a picture.
#pragma once

#include <cstdint>
#include <string>

#include "retrieval/page_painter.h"
#include "sandbox/base/unique_fd.h"

namespace carrel::testing {

struct ScanOptions {
  uint32_t page = 1;
  // Of the page, in points; the scan's page is 600 x 800, and what lies below that is cut off.
  float width = 600;
  float height = 800;
  bool with_text_page = false;  // before it a page that has text of its own
};

// The bytes of a PDF that shows one page of another, painted by `painter` at 200 dpi.
[[nodiscard]] std::string ScanOf(UniqueFd pdf, retrieval::PagePainter& painter, const ScanOptions& options = {});

// A file without a name, open at its beginning.
[[nodiscard]] UniqueFd FileOf(const std::string& bytes);

}  // namespace carrel::testing
