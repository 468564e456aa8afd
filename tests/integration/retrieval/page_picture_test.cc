// Pages as pictures: what is highlighted is the quote, all of it and nothing else, however the page is turned or cut;
// and a page that cannot be drawn says why. The quote is drawn in red, everything else in black, so that a picture
// itself tells where it stands.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "extract_file.h"
#include "pdf/pdf_writer.h"
#include "png_pixels.h"
#include "process_jail_maker.h"
#include "retrieval/page_painter.h"
#include "retrieval/png_check.h"

namespace carrel::retrieval {
namespace {

using testing::Bomb;
using ::testing::HasSubstr;
using testing::PdfOfPages;
using testing::Pixel;
using testing::PixelImage;
using testing::ShowText;

UniqueFd FileOf(const std::string& bytes) {
  UniqueFd file(::memfd_create("document", MFD_CLOEXEC));
  EXPECT_EQ(::write(file.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_SET), 0);
  return file;
}

absl::StatusOr<Picture> Paint(PictureRequest request,
                              std::vector<std::string> command = {CARREL_BIN "/carrel-extract"}) {
  const auto jails = testing::MakeProcessJailMaker("extract", std::move(command));
  return MakeJailedPainter(*jails)->Paint(std::move(request));
}

std::string Red(const std::string& text, int x, int y) {
  return absl::StrCat("1 0 0 rg BT /F1 12 Tf ", x, " ", y, " Td (", text, ") Tj ET 0 g\n");
}
std::string Black(const std::string& text, int x, int y) {
  return absl::StrCat("BT /F1 12 Tf ", x, " ", y, " Td (", text, ") Tj ET\n");
}

// A red quote of two lines among black ones, in the left of two columns.
constexpr char kQuote[] = "The keeper of the lighthouse counts the ships that pass at night.";
std::string TwoColumns() {
  std::string content;
  for (int i = 0; i < 8; ++i) {
    content += i == 3   ? Red("The keeper of the lighthouse counts", 60, 700 - 16 * i)
               : i == 4 ? Red("the ships that pass at night.", 60, 700 - 16 * i)
                        : Black(absl::StrCat("Left column, line number ", i, " of it."), 60, 700 - 16 * i);
    content += Black(absl::StrCat("Right column, line number ", i, " of it."), 330, 700 - 16 * i);
  }
  return content;
}

bool IsRed(const Pixel& pixel) { return pixel.red > 180 && pixel.green < 100 && pixel.blue < 100; }
bool IsBlack(const Pixel& pixel) { return pixel.red < 70 && pixel.green < 70 && pixel.blue < 70; }

struct Looked {
  size_t red_outside = 0;   // of the quote, not under the marker
  size_t black_inside = 0;  // of other text, under the marker
  size_t red = 0;
  size_t dyed = 0;
};

// What the marker did, by comparing the picture with one without it.
Looked Look(const PixelImage& plain, const PixelImage& marked) {
  Looked looked;
  EXPECT_EQ(plain.width, marked.width);
  EXPECT_EQ(plain.height, marked.height);
  // Red and black look the same under the marker: what was dyed is told by the nearest white pixels of the row.
  const auto dyed_towards = [&](uint32_t x, uint32_t y, int step) {
    for (int64_t at = x; at >= 0 && at < plain.width && std::abs(at - int64_t{x}) < 30; at += step) {
      const Pixel& before = plain.At(static_cast<uint32_t>(at), y);
      if (before.red > 250 && before.green > 250 && before.blue > 250) {
        return !(marked.At(static_cast<uint32_t>(at), y) == before);
      }
    }
    return false;
  };
  for (uint32_t y = 0; y < plain.height; ++y) {
    for (uint32_t x = 0; x < plain.width; ++x) {
      const Pixel& before = plain.At(x, y);
      looked.dyed += before == marked.At(x, y) ? 0 : 1;
      if (IsRed(before)) {
        ++looked.red;
        looked.red_outside += dyed_towards(x, y, -1) || dyed_towards(x, y, 1) ? 0 : 1;
      }
      if (IsBlack(before) && !IsRed(before))
        looked.black_inside += dyed_towards(x, y, -1) && dyed_towards(x, y, 1) ? 1 : 0;
    }
  }
  return looked;
}

struct Found {
  Page page;
  std::vector<Box> boxes;
};

// The quote's boxes, as a citation has them.
Found Find(const std::string& pdf, const std::string& quote, size_t page = 0) {
  const auto extraction = testing::ExtractBytes(pdf, "d.pdf");
  EXPECT_TRUE(extraction.ok()) << extraction.status();
  if (!extraction.ok() || extraction->document.pages.size() <= page) return {};
  const ExtractedDocument& document = extraction->document;
  std::u32string flat = document.text;
  for (char32_t& c : flat) c = c == U'\n' ? U' ' : c;
  const std::u32string wanted = *FromUtf8(quote);
  const size_t at = flat.find(wanted);
  EXPECT_NE(at, std::u32string::npos) << ToUtf8(flat);
  if (at == std::u32string::npos) return {};
  const Span span{static_cast<uint32_t>(at), static_cast<uint32_t>(at + wanted.size())};
  Found found{.page = document.pages[page]};
  for (const PageBox& box : BoxesOf(document.pages, span)) {
    if (box.page == found.page.number) found.boxes.push_back(box.box);
  }
  return found;
}

void ExpectTheQuoteIsHighlighted(const std::string& pdf, const std::string& quote, size_t page = 0) {
  const Found found = Find(pdf, quote, page);
  ASSERT_FALSE(found.boxes.empty());
  PixelImage images[2];
  for (int marked = 0; marked < 2; ++marked) {
    auto picture = Paint({.bytes = FileOf(pdf),
                          .page = found.page.number,
                          .page_width = found.page.width,
                          .page_height = found.page.height,
                          .dpi = 96,
                          .boxes = marked == 1 ? found.boxes : std::vector<Box>{}});
    ASSERT_TRUE(picture.ok()) << picture.status();
    EXPECT_EQ(picture->width, static_cast<uint32_t>(std::ceil(found.page.width * 96 / 72)));
    EXPECT_EQ(picture->height, static_cast<uint32_t>(std::ceil(found.page.height * 96 / 72)));
    auto pixels = testing::ReadPng(picture->png);
    ASSERT_TRUE(pixels.ok()) << pixels.status();
    images[marked] = *std::move(pixels);
  }
  const Looked looked = Look(images[0], images[1]);
  EXPECT_GT(looked.red, 200U);
  EXPECT_GT(looked.dyed, looked.red);
  EXPECT_EQ(looked.red_outside, 0U);
  EXPECT_EQ(looked.black_inside, 0U);
}

// The page's dictionary with more entries.
std::string WithPageEntries(const std::string& pdf, const std::string& entries) {
  // The cross-reference table is wrong then; Poppler makes it anew, as readers do.
  return absl::StrReplaceAll(pdf, {{"/Type /Page /Parent", absl::StrCat("/Type /Page ", entries, " /Parent")}});
}

TEST(PagePicture, TheQuoteInOneOfTwoColumnsIsHighlighted) {
  ExpectTheQuoteIsHighlighted(PdfOfPages({TwoColumns()}), kQuote);
}

TEST(PagePicture, OnTurnedPages) {
  for (const int angle : {90, 180, 270}) {
    SCOPED_TRACE(angle);
    // Upright text on a turned page reads sideways; then lines are dyed across rows of pixels, so it is turned back.
    const std::string turn = angle == 90    ? "0 1 -1 0 600 0 cm\n"
                             : angle == 180 ? "-1 0 0 -1 600 800 cm\n"
                                            : "0 -1 1 0 0 800 cm\n";
    const std::string content = absl::StrCat(turn, angle == 180 ? "" : "1 0 0 1 60 -120 cm\n", TwoColumns());
    ExpectTheQuoteIsHighlighted(WithPageEntries(PdfOfPages({content}), absl::StrCat("/Rotate ", angle)), kQuote);
  }
}

TEST(PagePicture, WithinACropBoxThatDoesNotBeginAtTheOrigin) {
  ExpectTheQuoteIsHighlighted(WithPageEntries(PdfOfPages({TwoColumns()}), "/CropBox [40 500 580 780]"), kQuote);
}

TEST(PagePicture, WithinATurnedCropBox) {
  const std::string content = "0 1 -1 0 600 0 cm\n1 0 0 1 60 -120 cm\n" + TwoColumns();
  ExpectTheQuoteIsHighlighted(
      WithPageEntries(PdfOfPages({content}), "/Rotate 90 /CropBox [10 20 590 790] /MediaBox [-50 -50 700 900]"),
      kQuote);
}

TEST(PagePicture, AQuoteOverTwoPagesIsHighlightedOnEither) {
  const std::string pdf = PdfOfPages({Black("Something else stands here.", 60, 140) + Red("The keeper of the", 60, 100),
                                      Red("lighthouse counts ships.", 60, 700) + Black("And so on.", 60, 600)});
  ExpectTheQuoteIsHighlighted(pdf, "The keeper of the lighthouse counts ships.", 0);
  ExpectTheQuoteIsHighlighted(pdf, "The keeper of the lighthouse counts ships.", 1);
}

TEST(PagePicture, AMarkerShowsOnDarkPaperToo) {
  const std::string pdf = PdfOfPages({"0.1 g 0 0 600 800 re f 1 g " + ShowText("White on black.")});
  const Found found = Find(pdf, "White on black.");
  ASSERT_EQ(found.boxes.size(), 1U);
  auto picture = Paint({.bytes = FileOf(pdf), .page_width = 600, .page_height = 800, .dpi = 72, .boxes = found.boxes});
  ASSERT_TRUE(picture.ok()) << picture.status();
  const auto pixels = testing::ReadPng(picture->png);
  ASSERT_TRUE(pixels.ok());
  const auto at = [&](float x, float y) { return pixels->At(static_cast<uint32_t>(x), static_cast<uint32_t>(y)); };
  const Box& box = found.boxes[0];
  EXPECT_GT(at(box.x_min + 1, box.y_min + 1).red, at(10, 10).red + 50);
}

TEST(PagePicture, ThePictureIsAPlainPngOfThePageAtItsResolution) {
  const std::string pdf = PdfOfPages({ShowText("x"), ShowText("y")});
  auto picture = Paint({.bytes = FileOf(pdf), .page = 2, .page_width = 600, .page_height = 800});
  ASSERT_TRUE(picture.ok()) << picture.status();
  EXPECT_EQ(picture->dpi, 144U);
  EXPECT_EQ(picture->width, 1200U);
  EXPECT_EQ(picture->height, 1600U);
  EXPECT_EQ(*CheckPng(picture->png), (PngSize{1200, 1600}));
}

TEST(PagePicture, VeryLargePagesAreDrawnSmaller) {
  const std::string pdf =
      WithPageEntries(PdfOfPages({ShowText("x")}), "/CropBox [0 0 14000 14000] /MediaBox [0 0 14000 14000]");
  PictureRequest request{.page_width = 14000, .page_height = 14000};
  request.bytes = FileOf(pdf);
  auto picture = Paint(std::move(request));
  ASSERT_TRUE(picture.ok()) << picture.status();
  EXPECT_LE(uint64_t{picture->width} * picture->height, 16'000'000U);
  EXPECT_EQ(picture->dpi, 20U);
}

TEST(PagePicture, WhatCannotBeDrawnSaysWhy) {
  const std::string pdf = PdfOfPages({ShowText("x")});
  const auto refused = [&](PictureRequest request, absl::StatusCode code, const std::string& part) {
    request.bytes = FileOf(pdf);
    const auto picture = Paint(std::move(request));
    EXPECT_EQ(picture.status().code(), code) << picture.status();
    EXPECT_THAT(std::string(picture.status().message()), HasSubstr(part));
  };
  using Code = absl::StatusCode;
  refused({.page_width = 600, .page_height = 800, .dpi = 17}, Code::kInvalidArgument, "18 to 600");
  refused({.page_width = 600, .page_height = 800, .dpi = 601}, Code::kInvalidArgument, "18 to 600");
  refused({.page_width = 6000, .page_height = 8000, .dpi = 300}, Code::kInvalidArgument, "at most 41 is possible");
  refused({.page_width = 1e6, .page_height = 1e6}, Code::kFailedPrecondition, "too large to be drawn");
  refused({.page_width = 600, .page_height = 800, .boxes = std::vector<Box>(4097)}, Code::kInvalidArgument,
          "at most 4096");
  refused({.page = 2, .page_width = 600, .page_height = 800}, Code::kFailedPrecondition, "page 2 cannot be drawn");
  // The page is larger than the caller believes: the extractor has the pixels' limit too.
  refused({.page_width = 6, .page_height = 8, .dpi = 600, .limits = {.pixels_max = 1'000'000}},
          Code::kFailedPrecondition, "more than 1000000 pixels");
}

TEST(PagePicture, ABombEndsWithinItsLimits) {
  const auto bomb = [](PictureLimits limits) {
    return Paint({.bytes = FileOf(Bomb(9)), .page_width = 600, .page_height = 800, .limits = limits}).status();
  };
  const absl::Status cpu = bomb({.cpu_seconds_max = 1});
  EXPECT_EQ(cpu.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(cpu.message()), HasSubstr("more than 1 s of processor time"));
  const absl::Status wall = bomb({.wall_max = absl::Milliseconds(300)});
  EXPECT_THAT(std::string(wall.message()), HasSubstr("longer than 300ms"));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // whose shadow leaves no room for a limit
TEST(PagePicture, MemoryHasALimit) {
  const std::string pdf = PdfOfPages({ShowText("x")});
  const auto picture = Paint({.bytes = FileOf(pdf),
                              .page_width = 600,
                              .page_height = 800,
                              .dpi = 300,
                              .limits = {.memory_bytes_max = 24u << 20}});
  EXPECT_EQ(picture.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(picture.status().message()), HasSubstr("more than 24 MiB of memory"));
}
#endif

TEST(PagePicture, ItCanBeCancelled) {
  const auto picture =
      Paint({.bytes = FileOf(Bomb(9)), .page_width = 600, .page_height = 800, .cancelled = [] { return true; }});
  EXPECT_EQ(picture.status().code(), absl::StatusCode::kCancelled);
}

// An extractor that is not ours: nothing of what it says is passed on but a plain PNG within the limits.
TEST(HostileExtractor, PicturesThatAreNoneAreRefused) {
  const auto from = [](const std::string& script) {
    return Paint(
               {.bytes = FileOf("x"), .page_width = 600, .page_height = 800, .limits = {.wall_max = absl::Seconds(5)}},
               {"/bin/sh", "-c", script})
        .status();
  };
  EXPECT_EQ(from("echo nonsense").code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(from("exit 0").code(), absl::StatusCode::kFailedPrecondition);
  // An IMAGE frame of "no" and the verdict that all went well.
  EXPECT_EQ(from("printf 'CRLXTR01\\006\\000\\000\\000\\040\\002\\000\\000\\000no'; "
                 "printf '\\014\\000\\000\\000\\006\\001\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000\\000'")
                .code(),
            absl::StatusCode::kDataLoss);
  // A page in place of a picture.
  EXPECT_EQ(from("printf 'CRLXTR01\\004\\000\\000\\000\\003\\001\\000\\000\\000'").code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace carrel::retrieval
