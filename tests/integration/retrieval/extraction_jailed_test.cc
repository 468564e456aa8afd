// The real extractor in the real jail under the policy that ships.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "jailed_extraction.h"
#include "pdf/pdf_writer.h"

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

// The policy's cap is the operator's; what is asked beyond it is cut.
TEST_F(JailedExtraction, AsksNoMoreThanThePolicyAllows) {
  const Extraction extraction = ExtractBytes(testing::PdfOfPages({testing::ShowText("A bridge.")}), "a.pdf",
                                             {.memory_bytes_max = 1ull << 50, .cpu_seconds_max = 1ull << 40});
  EXPECT_EQ(extraction.verdict, Verdict::kRead) << extraction.message;
}

}  // namespace
}  // namespace carrel::retrieval
