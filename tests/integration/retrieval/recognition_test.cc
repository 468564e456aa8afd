// Scans: pages of known text, drawn and put into a PDF as pictures, read by character recognition. What is found is the
// text, near where it stood; and what cannot be read is told.
#include "retrieval/recognition.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "citation_properties.h"
#include "extract_file.h"
#include "pdf/pdf_writer.h"
#include "process_jail_maker.h"
#include "retrieval/page_painter.h"
#include "scan.h"

namespace carrel::retrieval {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kPlain = CARREL_TESTDATA "/pdf/prose/plain.pdf";

class Recognition : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(RecognitionIsInstalled()) << "tesseract is not there: apt-get install tesseract-ocr (./dev setup)";
  }
};

// A page of that document, by the painter as a plain process.
std::string ScanOfPlain(const testing::ScanOptions& options = {.width = 595, .height = 842}) {
  const auto jails = testing::MakeProcessJailMaker("extract", {CARREL_BIN "/carrel-extract"});
  UniqueFd pdf(::open(kPlain.c_str(), O_RDONLY | O_CLOEXEC));
  return testing::ScanOf(std::move(pdf), *MakeJailedPainter(*jails), options);
}

size_t EditDistance(const std::u32string& a, const std::u32string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

std::u32string Flat(const ExtractedDocument& document, const Page& page) {
  std::u32string text = document.text.substr(page.body.begin, page.body.size());
  std::replace(text.begin(), text.end(), U'\n', U' ');
  return text;
}

TEST_F(Recognition, AScanIsReadAndItsWordsStandWhereTheyStood) {
  const auto original = testing::ExtractFile(kPlain);
  ASSERT_TRUE(original.ok());
  const Page& page = original->document.pages[0];
  // 800 points high: the lower margin is cut off, the scan's origin is that of the page.
  const std::string scan = ScanOfPlain({.width = page.width, .height = page.height});
  const auto read = testing::ExtractBytes(scan, "scan.pdf", {}, {.enabled = true});
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->verdict, Verdict::kRead) << read->message;
  EXPECT_EQ(read->message, "Page 1 was read by character recognition, which errs now and then.");
  ASSERT_EQ(read->document.pages.size(), 1U);
  EXPECT_TRUE(read->document.pages[0].recognised);

  // The cut takes some lines of the end away.
  const std::u32string found = Flat(read->document, read->document.pages[0]);
  const std::u32string truth = Flat(original->document, page).substr(0, found.size());
  ASSERT_GT(found.size(), 1000U);
  EXPECT_LT(EditDistance(truth, found), truth.size() / 100) << ToUtf8(found);

  const std::u32string sentence = truth.substr(0, truth.find(U'.') + 1);
  const size_t at = found.find(sentence);
  ASSERT_NE(at, std::u32string::npos) << ToUtf8(sentence);
  const auto boxes = [](const ExtractedDocument& document, size_t begin, size_t size) {
    return BoxesOf(document.pages, {static_cast<uint32_t>(begin), static_cast<uint32_t>(begin + size)});
  };
  const auto was = boxes(original->document, page.body.begin, sentence.size());
  const auto is = boxes(read->document, at, sentence.size());
  ASSERT_EQ(was.size(), is.size());
  for (size_t i = 0; i < was.size(); ++i) {
    EXPECT_NEAR(was[i].box.x_min, is[i].box.x_min, 3);
    EXPECT_NEAR(was[i].box.x_max, is[i].box.x_max, 3);
    EXPECT_NEAR(was[i].box.y_min, is[i].box.y_min, 5);
    EXPECT_NEAR(was[i].box.y_max, is[i].box.y_max, 5);
  }

  const ChunkingOptions options;
  const auto chunks = Chunk(read->document, options, testing::CountTokensRoughly);
  ASSERT_TRUE(chunks.ok());
  for (const std::string& fault : testing::FaultsOf(read->document, *chunks, options)) ADD_FAILURE() << fault;
}

TEST_F(Recognition, IsOffUnlessAskedFor) {
  const auto read = testing::ExtractBytes(ScanOfPlain(), "scan.pdf");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->verdict, Verdict::kNoText);
}

TEST_F(Recognition, PagesWithTextOfTheirOwnKeepIt) {
  const auto read = testing::ExtractBytes(ScanOfPlain({.width = 595, .height = 842, .with_text_page = true}),
                                          "mixed.pdf", {}, {.enabled = true});
  ASSERT_TRUE(read.ok());
  ASSERT_EQ(read->verdict, Verdict::kRead);
  EXPECT_FALSE(read->document.pages[0].recognised);
  EXPECT_TRUE(read->document.pages[1].recognised);
  EXPECT_THAT(read->message, StartsWith("Page 2 was read"));
  EXPECT_THAT(ToUtf8(read->document.text), StartsWith("This page has text of its own."));
}

TEST_F(Recognition, BlankPagesStayBlank) {
  const auto read =
      testing::ExtractBytes(testing::PdfOfPages({testing::ShowText("x y z"), ""}), "blank.pdf", {}, {.enabled = true});
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->verdict, Verdict::kRead);
  EXPECT_EQ(read->message, "Page 2 has no text: blank, or a picture in which character recognition found none.");
}

TEST_F(Recognition, ItsLimitsAreTold) {
  const std::string scan = ScanOfPlain();
  const auto slow = testing::ExtractBytes(scan, "scan.pdf", {}, {.enabled = true, .wall_max = absl::Milliseconds(50)});
  ASSERT_TRUE(slow.ok());
  EXPECT_EQ(slow->verdict, Verdict::kNoText);
  EXPECT_THAT(slow->message, HasSubstr("Character recognition failed on page 1: it takes longer than 50ms."));
  const auto unknown = testing::ExtractBytes(scan, "scan.pdf", {}, {.enabled = true, .languages = "xyz"});
  ASSERT_TRUE(unknown.ok());
  EXPECT_THAT(unknown->message, HasSubstr("(are all of its languages installed: xyz?)"));
  const auto blank = testing::ExtractBytes(testing::PdfOfPages({testing::ShowText("x"), "", "", ""}), "d.pdf", {},
                                           {.enabled = true, .pages_max = 1});
  ASSERT_TRUE(blank.ok());
  EXPECT_THAT(blank->message, HasSubstr("did not come to 2 more pages"));
}

TEST(RecognitionLanguages, AreNamesOnly) {
  EXPECT_TRUE(CheckLanguages("eng").ok());
  EXPECT_TRUE(CheckLanguages("deu+chi_sim").ok());
  for (const char* bad : {"", "e", "eng --psm 0", "../../etc/passwd", "eng+", "+eng", "en\ng"}) {
    EXPECT_FALSE(CheckLanguages(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace carrel::retrieval
