// The real extractor in the real jail under the policy that ships.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "jail_fixture.h"
#include "pdf/pdf_writer.h"
#include "retrieval/extraction.h"

namespace carrel::retrieval {
namespace {

using ::testing::HasSubstr;

class JailedExtraction : public ::testing::Test {
 protected:
  void SetUp() override {
    std::vector<std::string> arguments = sandbox::UsualArguments();
    arguments.insert(arguments.end(), {"--runtimes", CARREL_SHARE "/policies"});
    auto jailer = sandbox::JailerUnderTest::Start({.arguments = std::move(arguments)});
    ASSERT_TRUE(jailer.ok()) << jailer.status();
    jailer_ = *std::move(jailer);
    extractor_ = MakeJailedExtractor(jailer_->maker());
  }

  Extraction Extract(UniqueFd bytes, const ExtractionLimits& limits = {}) {
    auto extraction = extractor_->Extract({.bytes = std::move(bytes), .type = DocumentType::kPdf, .limits = limits});
    EXPECT_TRUE(extraction.ok()) << extraction.status();
    return extraction.ok() ? *std::move(extraction) : Extraction{};
  }
  Extraction ExtractBytes(const std::string& bytes, const ExtractionLimits& limits = {}) {
    std::FILE* file = std::tmpfile();
    EXPECT_EQ(std::fwrite(bytes.data(), 1, bytes.size(), file), bytes.size());
    std::rewind(file);
    UniqueFd copy(::fcntl(::fileno(file), F_DUPFD_CLOEXEC, 0));
    std::fclose(file);
    return Extract(std::move(copy), limits);
  }
  Extraction ExtractProse(const std::string& name) {
    const std::string path = std::string(CARREL_TESTDATA "/pdf/prose/") + name;
    return Extract(UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)));
  }

  std::unique_ptr<sandbox::JailerUnderTest> jailer_;
  std::unique_ptr<Extractor> extractor_;
};

TEST_F(JailedExtraction, ReadsAPdfAndTheNextOne) {
  for (int i = 0; i < 3; ++i) {
    const Extraction extraction = ExtractProse("plain.pdf");
    EXPECT_EQ(extraction.verdict, Verdict::kRead) << extraction.message;
    EXPECT_GT(extraction.document.body_end, 1000U);
  }
}

TEST_F(JailedExtraction, FindsTheCharacterMapsOfEastAsianDocuments) {
  const Extraction extraction = ExtractProse("cjk_japanese.pdf");
  EXPECT_EQ(extraction.verdict, Verdict::kRead) << extraction.message;
  EXPECT_NE(extraction.document.text.find(U"図書館"), std::u32string::npos);
}

TEST_F(JailedExtraction, BombsEndWithinTheirLimitsAndTheNextDocumentIsRead) {
  const Extraction memory = ExtractBytes(testing::Bomb(9), {.memory_bytes_max = 64u << 20});
  EXPECT_EQ(memory.verdict, Verdict::kLimit) << memory.message;
  EXPECT_THAT(memory.message, HasSubstr("of memory"));
  const Extraction time = ExtractBytes(testing::Bomb(9), {.cpu_seconds_max = 1});
  EXPECT_EQ(time.verdict, Verdict::kLimit) << time.message;
  EXPECT_THAT(time.message, HasSubstr("1 s of processor time"));
  const Extraction wall = ExtractBytes(testing::Bomb(9), {.wall_max = absl::Milliseconds(500)});
  EXPECT_THAT(wall.message, HasSubstr("longer than 500ms"));
  EXPECT_EQ(ExtractProse("plain.pdf").verdict, Verdict::kRead);
}

// The policy's cap is the operator's; what is asked beyond it is cut.
TEST_F(JailedExtraction, AsksNoMoreThanThePolicyAllows) {
  const Extraction extraction = ExtractBytes(testing::PdfOfPages({testing::ShowText("A bridge.")}),
                                             {.memory_bytes_max = 1ull << 50, .cpu_seconds_max = 1ull << 40});
  EXPECT_EQ(extraction.verdict, Verdict::kRead) << extraction.message;
}

}  // namespace
}  // namespace carrel::retrieval
