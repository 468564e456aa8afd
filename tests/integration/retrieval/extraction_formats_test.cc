// Documents of every kind but PDF, as people's programs write them: their text to the letter, the page or label on
// which it stands, and every quote verbatim.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "citation_properties.h"
#include "extract_file.h"

namespace carrel::retrieval {
namespace {

using ::testing::ElementsAre;
using testing::ExtractBytes;
using testing::ExtractFile;
using ::testing::HasSubstr;

void ExpectSound(const Extraction& extraction) {
  const ChunkingOptions options;
  const auto chunks = Chunk(extraction.document, options, testing::CountTokensRoughly);
  ASSERT_TRUE(chunks.ok()) << chunks.status();
  EXPECT_FALSE(chunks->sub_passages.empty());
  for (const std::string& fault : testing::FaultsOf(extraction.document, *chunks, options)) ADD_FAILURE() << fault;
}

Extraction ReadFile(const std::string& path, const std::string& name = "") {
  auto extraction = ExtractFile(path, {}, name);
  EXPECT_TRUE(extraction.ok()) << extraction.status();
  if (!extraction.ok()) return {};
  EXPECT_EQ(extraction->verdict, Verdict::kRead) << path << ": " << extraction->message;
  ExpectSound(*extraction);
  return *std::move(extraction);
}
Extraction ReadOffice(const std::string& name) { return ReadFile(std::string(CARREL_TESTDATA "/office/") + name); }

std::string BodyOf(const Extraction& extraction) {
  return ToUtf8(std::u32string_view(extraction.document.text).substr(0, extraction.document.body_end));
}
std::vector<std::string> HeadingsOf(const Extraction& extraction) {
  std::vector<std::string> titles;
  for (const Heading& heading : extraction.document.headings) {
    titles.push_back(std::string(static_cast<size_t>(heading.level - 1), '#') + heading.title);
  }
  return titles;
}
// The label of the page on which `quote` stands.
std::string LabelOf(const Extraction& extraction, std::u32string_view quote) {
  const size_t at = extraction.document.text.find(quote);
  EXPECT_NE(at, std::u32string::npos) << ToUtf8(quote);
  const Span span{static_cast<uint32_t>(at), static_cast<uint32_t>(at + quote.size())};
  return extraction.document.pages[PagesOf(extraction.document.pages, span).first].label;
}

TEST(Formats, AWordDocument) {
  const Extraction report = ReadOffice("report.docx");
  EXPECT_EQ(report.document.title, "The bridges of the valley");
  EXPECT_EQ(BodyOf(report),
            "Bridges\n\nThe old bridge was built in 1842[1] and carries one lane. It stands well.\n\n"
            "[1] Measured in the spring of 1911.\n\nLoads\n\n- Carts\n- Coaches\n1. Measure the span.\n"
            "2. Load the middle.\n3. Read the gauge.\n\nBridge | Span | Load\nOld | 24 m | 8 t\nNew | 31 m | 40 t\n\n"
            "Beside the picture.\n\nA word in a box.\n\nGröße und 長さ\n\nDas Maß ist voll. 橋は長い。");
  EXPECT_THAT(HeadingsOf(report), ElementsAre("Bridges", "#Loads", "Größe und 長さ"));
  EXPECT_EQ(LabelOf(report, U"Load the middle."), "1");
  EXPECT_EQ(report.pages, 1U);
}

TEST(Formats, APresentation) {
  const Extraction talk = ReadOffice("talk.pptx");
  EXPECT_EQ(talk.document.title, "Water");
  EXPECT_EQ(BodyOf(talk),
            "Where the water goes\n\nA talk for the council\n\nFigures\n\nPart | Loss\nPipes | 12 %\nTaps | 3 %\n\n"
            "Source: the waterworks\n\nLosses\n\nPipes leak\n  most at the joints\nTaps drip\n\n"
            "Notes: Say that joints are cheap to mend.");
  EXPECT_EQ(talk.pages, 3U);
  EXPECT_EQ(LabelOf(talk, U"12 %"), "slide 2") << "the presentation's order, not the files'";
  EXPECT_EQ(LabelOf(talk, U"joints are cheap"), "slide 3");
  EXPECT_THAT(HeadingsOf(talk), ElementsAre("Where the water goes", "Figures", "Losses"));
}

TEST(Formats, AWorkbook) {
  const Extraction budget = ReadOffice("budget.xlsx");
  EXPECT_EQ(BodyOf(budget),
            "Budget\n\nBudget of the library\nItem; Due; Cost; Share; Paid\n"
            "Item: Shelves; Due: 2026-03-01; Cost: 1250.5; Share: 25%; Paid: TRUE\n"
            "Item: Books; Due: 2026-04-15 13:30; Cost: 0.3; Share: 12.5%; Paid: FALSE\n"
            "Item: Total; Cost: 1250.8\n\nOpening hours\n\nDay; From\nDay: Monday; From: 09:30\n"
            "Day: Größe zwei; From: 17:05:09");
  EXPECT_EQ(budget.pages, 2U) << "the hidden one is not counted";
  EXPECT_EQ(LabelOf(budget, U"Shelves; Due"), "sheet Budget");
  EXPECT_EQ(LabelOf(budget, U"17:05:09"), "sheet Opening hours");
  EXPECT_EQ(budget.document.pages[1].number, 2U);
}

// A passage from the middle of a long table still says which column is what, and is whole rows.
TEST(Formats, ALongTable) {
  std::string table = "station,river,level in cm,remarks\n";
  for (int i = 0; i < 6000; ++i) {
    table +=
        "S" + std::to_string(i) + ",\"Rhine, upper\"," + std::to_string(100 + i % 50) + ",Dr. Ada was here. Calm.\n";
  }
  auto extraction = ExtractBytes(table, "levels.csv");
  ASSERT_TRUE(extraction.ok());
  ExpectSound(*extraction);
  const auto chunks = Chunk(extraction->document, {}, testing::CountTokensRoughly);
  ASSERT_TRUE(chunks.ok());
  for (size_t i = 1; i < chunks->sub_passages.size(); ++i) {
    const Span span = chunks->sub_passages[i].span;
    const std::u32string_view text = std::u32string_view(extraction->document.text).substr(span.begin, span.size());
    EXPECT_TRUE(text.starts_with(U"station: S") && text.ends_with(U"Calm."));
  }
  EXPECT_THAT(BodyOf(*extraction),
              HasSubstr("\nstation: S5000; river: Rhine, upper; level in cm: 100; remarks: Dr. Ada"));
}

// What stands on this machine: manuals of several generators, and sources.
std::vector<std::string> FilesBelow(const std::string& directory, const std::string& extension, size_t most) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(
           directory, std::filesystem::directory_options::skip_permission_denied)) {
    if (entry.is_regular_file() && !entry.is_symlink() && entry.path().extension() == extension) {
      paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> some;
  for (size_t i = 0; i < std::min(most, paths.size()); ++i)
    some.push_back(paths[i * paths.size() / std::min(most, paths.size())]);
  return some;
}

struct Kind {
  const char* name;
  const char* directory;
  const char* extension;
  size_t files;
};
class RealFiles : public ::testing::TestWithParam<Kind> {};

TEST_P(RealFiles, AreReadAndEveryPassageIsVerbatim) {
  const Kind& kind = GetParam();
  const std::vector<std::string> paths = FilesBelow(kind.directory, kind.extension, kind.files);
  ASSERT_EQ(paths.size(), kind.files) << "too few " << kind.extension << " below " << kind.directory;
  size_t empty = 0;
  size_t headings = 0;
  for (const std::string& path : paths) {
    auto extraction = ExtractFile(path);
    ASSERT_TRUE(extraction.ok()) << extraction.status();
    if (extraction->verdict == Verdict::kEmpty) {
      ++empty;  // __init__.py, redirects
      continue;
    }
    ASSERT_EQ(extraction->verdict, Verdict::kRead) << path << ": " << extraction->message;
    ExpectSound(*extraction);
    headings += extraction->document.headings.size();
    if (::testing::Test::HasFailure()) FAIL() << path;
  }
  EXPECT_LT(empty, paths.size() / 3);
  // C's are not looked for.
  EXPECT_TRUE(kind.extension == std::string(".h") || headings > paths.size() / 4);
}

INSTANTIATE_TEST_SUITE_P(All, RealFiles,
                         ::testing::Values(Kind{"Latex2Html", "/usr/share/doc/gnuplot", ".html", 15},
                                           Kind{"DocBook", "/usr/share/doc/shared-mime-info", ".html", 4},
                                           Kind{"Doxygen", "/usr/share/doc/prometheus-cpp-dev", ".html", 15},
                                           Kind{"Headers", "/usr/include", ".h", 20},
                                           Kind{"Python", "/usr/lib/python3.11", ".py", 30}),
                         [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace carrel::retrieval
