#include "citation_text.h"

#include "cli/console.h"
#include "strings.h"

namespace carrel::cli {

std::string PagesOf(const Json& citation) {
  const uint64_t first = Count(citation, "first_page");
  const uint64_t last = Count(citation, "last_page");
  if (first == 0) return "";
  const std::string first_label = Text(citation, "first_page_label");
  // "slide 3", "sheet Budget": the label says all.
  const bool named = first_label.starts_with("slide ") || first_label.starts_with("sheet ");
  const auto label = [named](uint64_t page, const std::string& printed) {
    const std::string number = std::to_string(page);
    if (named && !printed.empty()) return SafeText(printed, false);
    return printed.empty() || printed == number ? number : StrCat(number, " (", SafeText(printed, false), ")");
  };
  const std::string from = label(first, first_label);
  if (last <= first) return named ? from : StrCat("page ", from);
  return StrCat(named ? "" : "pages ", from, " to ", label(last, Text(citation, "last_page_label")));
}

std::string OneLine(std::string_view text) {
  std::string line(text);
  for (char& c : line) {
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  }
  return SafeText(line, /*keep_lines=*/false);
}

}  // namespace carrel::cli
