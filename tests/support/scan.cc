#include "scan.h"

#include <fcntl.h>

#include <cstdio>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "pdf/pdf_writer.h"
#include "png_pixels.h"

namespace carrel::testing {

std::string ScanOf(UniqueFd pdf, retrieval::PagePainter& painter, const ScanOptions& options) {
  const auto picture = painter.Paint({.bytes = std::move(pdf),
                                      .page = options.page,
                                      .page_width = options.width,
                                      .page_height = options.height,
                                      .dpi = 200});
  EXPECT_TRUE(picture.ok()) << picture.status();
  if (!picture.ok()) return "";
  const auto pixels = ReadPng(picture->png);
  EXPECT_TRUE(pixels.ok()) << pixels.status();
  if (!pixels.ok()) return "";
  std::string grey;
  for (const Pixel& pixel : pixels->pixels) grey.push_back(static_cast<char>(pixel.green));
  PdfWriter writer;
  const int image =
      writer.AddStream(grey, absl::StrCat("/Type /XObject /Subtype /Image /Width ", pixels->width, " /Height ",
                                          pixels->height, " /BitsPerComponent 8 /ColorSpace /DeviceGray"));
  std::vector<std::string> pages;
  if (options.with_text_page) pages.push_back(ShowText("This page has text of its own."));
  pages.push_back(
      absl::StrCat("q ", options.width, " 0 0 ", options.height, " 0 ", 800 - options.height, " cm /X Do Q"));
  return PdfOfPages(pages, writer, absl::StrCat("/X ", image, " 0 R"));
}

UniqueFd FileOf(const std::string& bytes) {
  std::FILE* file = std::tmpfile();
  EXPECT_EQ(std::fwrite(bytes.data(), 1, bytes.size(), file), bytes.size());
  std::rewind(file);
  UniqueFd copy(::fcntl(::fileno(file), F_DUPFD_CLOEXEC, 0));
  std::fclose(file);
  return copy;
}

}  // namespace carrel::testing
