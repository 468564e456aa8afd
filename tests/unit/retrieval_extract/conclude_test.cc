// How an extraction's end becomes a verdict.
#include "conclude.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "page_list.h"

namespace carrel::retrieval {
namespace {

using ::testing::HasSubstr;
using wire::ExtractLimit;
using wire::ExtractVerdict;

RawDocument Raw(size_t pages_read, uint32_t pages_in_all) {
  RawDocument raw;
  raw.begun = true;
  raw.pages_in_all = pages_in_all;
  for (uint32_t i = 1; i <= pages_read; ++i) {
    RawPage page{.number = i, .width = 600, .height = 800, .chars = U"word"};
    page.words.push_back({.chars = {0, 4}, .box = {100, 300, 130, 310}, .font_size = 10});
    raw.pages.push_back(std::move(page));
  }
  raw.page_begun = static_cast<uint32_t>(pages_read) + (pages_read < pages_in_all ? 1 : 0);
  return raw;
}

RawDocument With(RawDocument raw, RawVerdict verdict) {
  raw.verdict = std::move(verdict);
  return raw;
}

const ExtractorEnd kFine{.exit = sandbox::JailExit{}};
const ExtractionLimits kLimits{};

TEST(Conclude, ReadToItsEnd) {
  const Extraction result = Conclude(With(Raw(2, 2), {.verdict = ExtractVerdict::kRead}), kFine, kLimits);
  EXPECT_EQ(result.verdict, Verdict::kRead);
  EXPECT_EQ(result.message, "");
  EXPECT_EQ(result.pages, 2U);
  EXPECT_FALSE(result.document.text.empty());
}

TEST(Conclude, PagesThatFellOutMakeItPartial) {
  const Extraction result = Conclude(With(Raw(2, 5), {.verdict = ExtractVerdict::kRead}), kFine, kLimits);
  EXPECT_EQ(result.verdict, Verdict::kPartial);
  EXPECT_EQ(result.message, "3 of 5 pages are damaged and were left out.");
}

TEST(Conclude, PagesWithoutTextAreNamed) {
  RawDocument raw = Raw(12, 12);
  for (const size_t page : {3, 7, 8, 9}) raw.pages[page - 1].words.clear();
  const Extraction read = Conclude(With(raw, {.verdict = ExtractVerdict::kRead}), kFine, kLimits);
  EXPECT_EQ(read.verdict, Verdict::kRead);
  EXPECT_EQ(read.message,
            "Pages 3 and 7-9 have no text: blank, or a picture of text, which needs character recognition.");
  raw.pages_in_all = 20;
  const Extraction partial =
      Conclude(With(raw, {.verdict = ExtractVerdict::kLimit, .limit = ExtractLimit::kPages}), kFine, {.pages_max = 12});
  EXPECT_EQ(partial.verdict, Verdict::kPartial);
  EXPECT_EQ(partial.message,
            "Only 12 of 20 pages were read: at most 12 pages of a document are read. Pages 3 and 7-9 have no text: "
            "blank, or a picture of text, which needs character recognition.");
}

TEST(Conclude, PagesInAnUnknownFilterAreNotCalledBlank) {
  RawDocument raw = Raw(6, 6);
  for (const size_t page : {2, 4, 5}) raw.pages[page - 1].words.clear();
  for (const size_t page : {4, 5}) raw.pages[page - 1].unread = true;
  const Extraction read = Conclude(With(raw, {.verdict = ExtractVerdict::kRead}), kFine, kLimits);
  EXPECT_EQ(read.verdict, Verdict::kRead);
  EXPECT_EQ(read.message,
            "Page 2 has no text: blank, or a picture of text, which needs character recognition. Pages 4 and 5 are "
            "compressed in a way that is not read.");
}

TEST(PageList, NamesPagesAsPeopleDo) {
  const auto list = [](std::vector<uint32_t> pages) { return PageList(pages); };
  EXPECT_EQ(list({3}), "page 3");
  EXPECT_EQ(list({3, 4}), "pages 3 and 4");
  EXPECT_EQ(list({1, 3, 4, 5, 9}), "pages 1, 3-5 and 9");
  EXPECT_EQ(list({1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23}), "pages 1, 3, 5, 7, 9, 11, 13, 15, 17, 19 and 2 more");
}

TEST(Conclude, ALimitAfterSomePagesIsPartialBeforeAnyItIsALimit) {
  const RawVerdict memory{.verdict = ExtractVerdict::kLimit, .limit = ExtractLimit::kMemory};
  const Extraction some = Conclude(With(Raw(2, 5), memory), kFine, kLimits);
  EXPECT_EQ(some.verdict, Verdict::kPartial);
  EXPECT_EQ(some.message, "Only 2 of 5 pages were read: reading it takes more than 1024 MiB of memory.");
  EXPECT_EQ(some.document.pages.size(), 2U);
  const Extraction none = Conclude(With(Raw(0, 5), memory), kFine, kLimits);
  EXPECT_EQ(none.verdict, Verdict::kLimit);
  EXPECT_EQ(none.message, "It was not read: reading it takes more than 1024 MiB of memory (at page 1).");
}

TEST(Conclude, WithoutAVerdictTheEndDecides) {
  const auto verdict = [](const ExtractorEnd& end) { return Conclude(Raw(0, 5), end, kLimits).verdict; };
  const auto message = [](const ExtractorEnd& end) { return Conclude(Raw(0, 5), end, kLimits).message; };
  EXPECT_EQ(verdict({.exit = sandbox::JailExit{.signal = SIGSEGV}}), Verdict::kCrashed);
  EXPECT_THAT(message({.exit = sandbox::JailExit{.signal = SIGSEGV}}), HasSubstr("signal 11 (at page 1)"));
  EXPECT_EQ(verdict({.exit = sandbox::JailExit{}}), Verdict::kCrashed) << "exit 0 is no verdict";
  EXPECT_EQ(verdict({.exit = sandbox::JailExit{.signal = SIGKILL, .memory_limit = true}}), Verdict::kLimit);
  EXPECT_EQ(verdict({.exit = sandbox::JailExit{.signal = SIGXCPU}}), Verdict::kLimit);
  EXPECT_EQ(verdict({.time_limit = true, .exit = sandbox::JailExit{.signal = SIGKILL}}), Verdict::kLimit);
  EXPECT_THAT(message({.time_limit = true}), HasSubstr("longer than 10m"));
  EXPECT_EQ(verdict({.wire = absl::DataLossError("x")}), Verdict::kCrashed);
}

TEST(Conclude, WhatWasReadBeforeACrashSurvives) {
  const Extraction result = Conclude(Raw(3, 9), {.exit = sandbox::JailExit{.signal = SIGSEGV}}, kLimits);
  EXPECT_EQ(result.verdict, Verdict::kPartial);
  EXPECT_EQ(result.message, "Only 3 of 9 pages were read: the extractor died of signal 11.");
  EXPECT_EQ(result.document.pages.size(), 3U);
}

TEST(Conclude, NonsenseOnTheWireOutweighsAVerdict) {
  const Extraction result = Conclude(With(Raw(0, 1), {.verdict = ExtractVerdict::kRead}),
                                     {.wire = absl::DataLossError("x"), .exit = sandbox::JailExit{}}, kLimits);
  EXPECT_EQ(result.verdict, Verdict::kCrashed);
}

TEST(Conclude, ReadWithoutADocumentIsOurFault) {
  EXPECT_EQ(Conclude(With({}, {.verdict = ExtractVerdict::kRead}), kFine, kLimits).verdict, Verdict::kInternal);
}

TEST(Conclude, ReadButEmptyIsNoText) {
  EXPECT_EQ(Conclude(With(Raw(0, 0), {.verdict = ExtractVerdict::kRead}), kFine, kLimits).verdict, Verdict::kNoText);
}

TEST(Conclude, TheExtractorsSentenceCannotMoveACursor) {
  const Extraction result = Conclude(
      With(Raw(0, 0), {.verdict = ExtractVerdict::kDamaged, .sentence = "bad\x1b[2J\r\nnews"}), kFine, kLimits);
  EXPECT_EQ(result.verdict, Verdict::kDamaged);
  EXPECT_EQ(result.message, "bad [2J  news");
}

TEST(Conclude, EachVerdictKeepsItsNumber) {
  const std::pair<ExtractVerdict, Verdict> pairs[] = {{ExtractVerdict::kEncrypted, Verdict::kEncrypted},
                                                      {ExtractVerdict::kDamaged, Verdict::kDamaged},
                                                      {ExtractVerdict::kEmpty, Verdict::kEmpty},
                                                      {ExtractVerdict::kNoText, Verdict::kNoText},
                                                      {ExtractVerdict::kUnsupported, Verdict::kUnsupported},
                                                      {ExtractVerdict::kInternal, Verdict::kInternal}};
  for (const auto& [from, to] : pairs) {
    const Extraction result = Conclude(With(Raw(0, 0), {.verdict = from, .sentence = "So."}), kFine, kLimits);
    EXPECT_EQ(result.verdict, to);
    EXPECT_EQ(result.message, "So.");
  }
}

TEST(DocumentTypes, WhatIsNotReadSaysWhatWouldBe) {
  EXPECT_EQ(UnreadableMessage("old.DOC"), "Files of the type \".doc\" are not read; save it as .docx.");
  EXPECT_THAT(UnreadableMessage("picture.png"), ::testing::HasSubstr(".pdf, "));
  const std::vector<std::string> readable = ReadableExtensions();
  EXPECT_TRUE(std::is_sorted(readable.begin(), readable.end()));
}

TEST(Conclude, AReadersOwnLimitIsSaidInItsWords) {
  RawDocument raw;
  raw.begun = true;
  raw.type = wire::DocumentType::kCsv;
  raw.text = U"a row";
  raw.blocks = {{.chars = {0, 5}, .kind = wire::BlockKind::kRow}};
  raw.verdict = RawVerdict{
      .verdict = ExtractVerdict::kLimit, .limit = wire::ExtractLimit::kShape, .sentence = "at most 3 columns are read"};
  const Extraction result = Conclude(std::move(raw), kFine, kLimits);
  EXPECT_EQ(result.verdict, Verdict::kPartial);
  EXPECT_EQ(result.message, "Not all of it was read: at most 3 columns are read.");
}

TEST(Conclude, SlidesAndSheetsAreCalledSo) {
  RawDocument raw;
  raw.begun = true;
  raw.type = wire::DocumentType::kPptx;
  raw.pages_in_all = 3;
  raw.text = U"x";
  raw.parts = {{.number = 1}, {.number = 3}};
  raw.blocks = {{.chars = {0, 1}}};
  raw.parts[1].first_block = 1;
  raw.verdict = RawVerdict{.verdict = ExtractVerdict::kRead};
  EXPECT_EQ(Conclude(raw, kFine, kLimits).message, "1 of 3 slides are damaged and were left out.");
  raw.text.clear();
  raw.blocks.clear();
  raw.parts[1].first_block = 0;
  EXPECT_EQ(Conclude(std::move(raw), kFine, kLimits).message, "The presentation has slides but no text on them.");
}

TEST(DocumentTypes, ByExtension) {
  EXPECT_EQ(DocumentTypeOf("A manual.PDF"), DocumentType::kPdf);
  EXPECT_EQ(DocumentTypeOf("notes.txt"), DocumentType::kText);
  EXPECT_EQ(DocumentTypeOf("readme.md"), DocumentType::kMarkdown);
  EXPECT_EQ(DocumentTypeOf("page.HTML"), DocumentType::kHtml);
  EXPECT_EQ(DocumentTypeOf("table.tsv"), DocumentType::kTsv);
  EXPECT_EQ(DocumentTypeOf("main.cpp"), DocumentType::kSource);
  EXPECT_FALSE(DocumentTypeOf("picture.png").has_value());
  EXPECT_FALSE(DocumentTypeOf(".pdf").has_value());
  EXPECT_FALSE(DocumentTypeOf("pdf").has_value());
}

}  // namespace
}  // namespace carrel::retrieval
