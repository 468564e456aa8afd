// Where a quote stands in its document.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace carrel::gateway {

// Characters [begin, end) of a document's extracted text, in code points.
struct TextSpan {
  uint64_t begin = 0;
  uint64_t end = 0;
  friend bool operator==(const TextSpan&, const TextSpan&) = default;
};

// In PDF points (1/72 inch) from the upper left corner of the page.
struct PageBox {
  int page = 0;  // 1-based
  double x_min = 0;
  double y_min = 0;
  double x_max = 0;
  double y_max = 0;
  friend bool operator==(const PageBox&, const PageBox&) = default;
};

struct Citation {
  std::string quote;  // verbatim: exactly the characters of `span`
  TextSpan span;
  int first_page = 0;  // 1-based; 0: a document without pages
  int last_page = 0;
  // As printed on the page ("xii"), else the number.
  std::string first_page_label;
  std::string last_page_label;
  std::vector<PageBox> boxes;  // one or more per line of the quote; none for documents without a layout
  bool recognised = false;     // read by character recognition, at least in part
  friend bool operator==(const Citation&, const Citation&) = default;
};

}  // namespace carrel::gateway
