#include "citation.h"

#include <utility>

#include "contents.h"
#include "status_macros.h"

namespace carrel::retrieval {

absl::StatusOr<Citation> MakeCitation(Connection& db, int64_t content, Span span) {
  ASSIGN_OR_RETURN(std::string quote, ReadText(db, content, span));
  return MakeCitation(db, content, span, std::move(quote));
}

absl::StatusOr<Citation> MakeCitation(Connection& db, int64_t content, Span span, std::string quote) {
  Citation out{.quote = std::move(quote), .span = span};
  ASSIGN_OR_RETURN(const std::vector<Page> pages, ReadPages(db, content, span));
  const PageRange range = PagesOf(pages, span);
  out.first_page = pages[range.first].number;
  out.first_page_label = pages[range.first].label;
  out.last_page = pages[range.last].number;
  out.last_page_label = pages[range.last].label;
  out.boxes = BoxesOf(pages, span);
  for (size_t i = range.first; i <= range.last; ++i) out.recognised = out.recognised || pages[i].recognised;
  return out;
}

}  // namespace carrel::retrieval
