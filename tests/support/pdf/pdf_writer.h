// PDFs made by hand: objects as they are given, with a cross-reference table.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace carrel::testing {

class PdfWriter final {
 public:
  // Objects number themselves from 1. The number.
  int Add(const std::string& body) {
    objects_.push_back(body);
    return static_cast<int>(objects_.size());
  }
  int AddStream(const std::string& data, const std::string& entries = "") {
    return Add(absl::StrCat("<< /Length ", data.size(), " ", entries, " >>\nstream\n", data, "\nendstream"));
  }

  // `root` is the number of the catalogue.
  [[nodiscard]] std::string Write(int root) const {
    std::string out = "%PDF-1.7\n";
    std::vector<size_t> offsets;
    for (size_t i = 0; i < objects_.size(); ++i) {
      offsets.push_back(out.size());
      absl::StrAppend(&out, i + 1, " 0 obj\n", objects_[i], "\nendobj\n");
    }
    const size_t xref = out.size();
    absl::StrAppend(&out, "xref\n0 ", objects_.size() + 1, "\n0000000000 65535 f \n");
    for (const size_t offset : offsets) absl::StrAppendFormat(&out, "%010d 00000 n \n", offset);
    absl::StrAppend(&out, "trailer\n<< /Size ", objects_.size() + 1, " /Root ", root, " 0 R >>\nstartxref\n", xref,
                    "\n%%EOF\n");
    return out;
  }

 private:
  std::vector<std::string> objects_;
};

// Pages of 600 x 800 that share `xobjects`, each with the content stream given (and stream entries, for filters: of all
// pages, or of page `entries_page` alone).
[[nodiscard]] inline std::string PdfOfPages(const std::vector<std::string>& contents, PdfWriter writer = {},
                                            const std::string& xobjects = "", const std::string& entries = "",
                                            std::size_t entries_page = 0) {
  const int font = writer.Add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
  std::vector<int> streams;
  for (const std::string& content : contents) {
    const bool plain = entries_page != 0 && entries_page != streams.size() + 1;
    streams.push_back(writer.AddStream(content, plain ? "" : entries));
  }
  const int tree = font + static_cast<int>(contents.size()) * 2 + 1;
  std::string kids;
  for (const int stream : streams) {
    absl::StrAppend(&kids, " ",
                    writer.Add(absl::StrCat("<< /Type /Page /Parent ", tree, " 0 R /MediaBox [0 0 600 800] /Contents ",
                                            stream, " 0 R /Resources << /Font << /F1 ", font, " 0 R >> /XObject << ",
                                            xobjects, " >> >> >>")),
                    " 0 R");
  }
  writer.Add(absl::StrCat("<< /Type /Pages /Kids [", kids, " ] /Count ", contents.size(), " >>"));
  return writer.Write(writer.Add(absl::StrCat("<< /Type /Catalog /Pages ", tree, " 0 R >>")));
}

[[nodiscard]] inline std::string ShowText(const std::string& text, int y = 700) {
  return absl::StrCat("BT /F1 12 Tf 72 ", y, " Td (", text, ") Tj ET\n");
}

// Forms that draw forms that draw text: ten to the power of `levels` words.
[[nodiscard]] inline std::string Bomb(int levels, const std::vector<std::string>& pages_before = {}) {
  PdfWriter writer;
  int form = writer.AddStream(ShowText("boom"),
                              "/Type /XObject /Subtype /Form /BBox [0 0 600 800] /Resources << /Font << /F1 << /Type "
                              "/Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>");
  for (int level = 0; level < levels; ++level) {
    std::string content;
    for (int i = 0; i < 10; ++i) content += absl::StrCat("1 0 0 1 ", i % 3, " ", level, " cm /X Do\n");
    form = writer.AddStream(content, absl::StrCat("/Type /XObject /Subtype /Form /BBox [0 0 600 800] /Resources << "
                                                  "/XObject << /X ",
                                                  form, " 0 R >> >>"));
  }
  std::vector<std::string> pages = pages_before;
  pages.push_back("/X Do");
  return PdfOfPages(pages, writer, absl::StrCat("/X ", form, " 0 R"));
}

}  // namespace carrel::testing
