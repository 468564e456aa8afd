// How much of an HTML document gumbo may be given: its tree takes hundreds of bytes a tag, and some of its steps take
// time by the depth of the tree or the number of a tag's attributes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace carrel::retrieval::extract {

struct HtmlCut {
  size_t bytes = 0;    // from the front
  std::string clause;  // why no more; "" when that is all
};

// Depth is that of tags that need an end tag; what it misses (other tags nest in MathML) ends at the time limit.
[[nodiscard]] HtmlCut GuardHtml(std::string_view html);

}  // namespace carrel::retrieval::extract
