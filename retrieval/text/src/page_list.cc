#include "page_list.h"

#include <vector>

#include "absl/strings/str_cat.h"

namespace carrel::retrieval {

std::string PageList(std::span<const uint32_t> pages) {
  constexpr size_t kRangesMax = 10;
  std::vector<std::string> parts;
  size_t named = 0;
  while (named < pages.size() && parts.size() < kRangesMax) {
    size_t end = named + 1;
    while (end < pages.size() && pages[end] == pages[end - 1] + 1) ++end;
    const size_t count = end - named;
    // Of two neighbours each is named.
    if (count == 2) end = named + 1;
    parts.push_back(count > 2 ? absl::StrCat(pages[named], "-", pages[end - 1]) : absl::StrCat(pages[named]));
    named = end;
  }
  if (named < pages.size()) parts.push_back(absl::StrCat(pages.size() - named, " more"));
  std::string out = pages.size() == 1 ? "page " : "pages ";
  for (size_t i = 0; i < parts.size(); ++i) {
    absl::StrAppend(&out, i == 0 ? "" : i + 1 == parts.size() ? " and " : ", ", parts[i]);
  }
  return out;
}

}  // namespace carrel::retrieval
