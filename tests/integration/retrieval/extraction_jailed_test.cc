// The real extractor in the real jail under the policy that ships.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "jailed_extraction.h"
#include "pdf/pdf_writer.h"
#include "png_pixels.h"
#include "retrieval/page_painter.h"
#include "retrieval/recognition.h"
#include "scan.h"

namespace carrel::retrieval {
namespace {

using ::testing::HasSubstr;

TEST_F(JailedExtraction, ReadsAPdfAndTheNextOne) {
  for (int i = 0; i < 3; ++i) {
    const Extraction extraction = ExtractTestFile("pdf/prose/plain.pdf");
    EXPECT_EQ(extraction.verdict, Verdict::kRead) << extraction.message;
    EXPECT_GT(extraction.document.body_end, 1000U);
  }
}

TEST_F(JailedExtraction, FindsTheCharacterMapsOfEastAsianDocuments) {
  const Extraction extraction = ExtractTestFile("pdf/prose/cjk_japanese.pdf");
  EXPECT_EQ(extraction.verdict, Verdict::kRead) << extraction.message;
  EXPECT_NE(extraction.document.text.find(U"図書館"), std::u32string::npos);
}

TEST_F(JailedExtraction, BombsEndWithinTheirLimitsAndTheNextDocumentIsRead) {
  const Extraction memory = ExtractBytes(testing::Bomb(9), "bomb.pdf", {.memory_bytes_max = 64u << 20});
  EXPECT_EQ(memory.verdict, Verdict::kLimit) << memory.message;
  EXPECT_THAT(memory.message, HasSubstr("of memory"));
  const Extraction time = ExtractBytes(testing::Bomb(9), "bomb.pdf", {.cpu_seconds_max = 1});
  EXPECT_EQ(time.verdict, Verdict::kLimit) << time.message;
  EXPECT_THAT(time.message, HasSubstr("1 s of processor time"));
  const Extraction wall = ExtractBytes(testing::Bomb(9), "bomb.pdf", {.wall_max = absl::Milliseconds(500)});
  EXPECT_THAT(wall.message, HasSubstr("longer than 500ms"));
  EXPECT_EQ(ExtractTestFile("pdf/prose/plain.pdf").verdict, Verdict::kRead);
}

TEST_F(JailedExtraction, DrawsPages) {
  const auto painter = MakeJailedPainter(jailer_->maker());
  // A font of its own, one of the standard fourteen, and one that poppler-data describes.
  for (const char* name : {"ligatures.pdf", "plain.pdf", "cjk_japanese.pdf"}) {
    const std::string path = std::string(CARREL_TESTDATA "/pdf/prose/") + name;
    PictureRequest request{.page_width = 595, .page_height = 842, .boxes = {{72, 72, 300, 90}}};
    request.bytes = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const auto picture = painter->Paint(std::move(request));
    ASSERT_TRUE(picture.ok()) << name << ": " << picture.status();
    const auto pixels = testing::ReadPng(picture->png);
    ASSERT_TRUE(pixels.ok()) << pixels.status();
    const auto dark = std::count_if(pixels->pixels.begin(), pixels->pixels.end(),
                                    [](const testing::Pixel& pixel) { return pixel.green < 100; });
    EXPECT_GT(dark, 500) << name << ": the fonts were not found";
  }
}

TEST_F(JailedExtraction, RecognisesCharacters) {
  ASSERT_TRUE(RecognitionIsInstalled()) << "apt-get install tesseract-ocr (./dev setup)";
  const auto painter = MakeJailedPainter(jailer_->maker());
  const std::string page = testing::PdfOfPages({testing::ShowText("The lighthouse stands on a cliff.")});
  const std::string scan = testing::ScanOf(testing::FileOf(page), *painter);
  const auto read = MakeJailedExtractor(jailer_->maker(), "extract", {.enabled = true})
                        ->Extract({.bytes = testing::FileOf(scan), .type = DocumentType::kPdf});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->verdict, Verdict::kRead) << read->message;
  EXPECT_THAT(read->message, HasSubstr("Page 1 was read by character recognition"));
  EXPECT_THAT(ToUtf8(read->document.text), HasSubstr("The lighthouse stands on a cliff."));
}

// The policy's cap is the operator's; what is asked beyond it is cut.
TEST_F(JailedExtraction, AsksNoMoreThanThePolicyAllows) {
  const Extraction extraction = ExtractBytes(testing::PdfOfPages({testing::ShowText("A bridge.")}), "a.pdf",
                                             {.memory_bytes_max = 1ull << 50, .cpu_seconds_max = 1ull << 40});
  EXPECT_EQ(extraction.verdict, Verdict::kRead) << extraction.message;
}

}  // namespace
}  // namespace carrel::retrieval
