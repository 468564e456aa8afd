// Blocks to text, definitions of code, and passages of lines.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "definitions.h"
#include "frames.h"
#include "retrieval/document_builder.h"
#include "retrieval/passages.h"

namespace carrel::retrieval {
namespace {

using ::testing::ElementsAre;
using wire::BlockKind;
using wire::DocumentType;

class Frames final {
 public:
  explicit Frames(DocumentType type, uint32_t parts = 0) : bytes_(Magic() + DocumentFrame(parts, "t", type)) {}
  Frames& Part(uint32_t number, std::string_view name = "") {
    bytes_ += Frame(wire::FrameType::kPart, Bytes().U32(number).Str16(name));
    return *this;
  }
  Frames& Block(BlockKind kind, std::string_view text, uint8_t level = 0) {
    return Raw(Bytes().U32(1).U8(static_cast<uint8_t>(kind)).U8(level).Str32(text));
  }
  Frames& Raw(const Bytes& payload) {
    bytes_ += Frame(wire::FrameType::kBlocks, payload);
    return *this;
  }
  [[nodiscard]] absl::StatusOr<RawDocument> Decode() const {
    FrameDecoder decoder({});
    const absl::Status status = decoder.Feed(bytes_);
    if (!status.ok()) return status;
    return decoder.TakeDocument();
  }
  [[nodiscard]] ExtractedDocument Build() const {
    auto raw = Decode();
    EXPECT_TRUE(raw.ok()) << raw.status();
    return raw.ok() ? BuildDocument(*std::move(raw)) : ExtractedDocument{};
  }

 private:
  std::string bytes_;
};

TEST(Blocks, WhiteSpaceAndSeparators) {
  const ExtractedDocument document = Frames(DocumentType::kHtml)
                                         .Block(BlockKind::kHeading, "  A\n title ", 2)
                                         .Block(BlockKind::kParagraph, " one \t two\n three\u00AD\u200B ")
                                         .Block(BlockKind::kParagraph, " \n ")
                                         .Block(BlockKind::kItem, "- a", 1)
                                         .Block(BlockKind::kItem, "- b", 2)
                                         .Block(BlockKind::kRow, "x\ny")
                                         .Block(BlockKind::kRow, "z")
                                         .Block(BlockKind::kVerbatim, "\n\n  a\r\n    b  \r\n\n c\n\n")
                                         .Build();
  EXPECT_EQ(ToUtf8(document.text), "A title\n\none two\nthree\n\n- a\n  - b\n\nx y\nz\n\n  a\n    b\n\n c");
  ASSERT_EQ(document.headings.size(), 1U);
  EXPECT_EQ(document.headings[0].title, "A title");
  EXPECT_EQ(document.headings[0].level, 2);
  EXPECT_EQ(document.headings[0].span, (Span{0, 7}));
  ASSERT_EQ(document.pages.size(), 1U);
  EXPECT_EQ(document.pages[0].body, (Span{0, document.body_end}));
}

TEST(Blocks, LongOnesComeInPieces) {
  const ExtractedDocument document = Frames(DocumentType::kDocx)
                                         .Block(BlockKind::kParagraph, "one ")
                                         .Block(BlockKind::kMore, " tw")
                                         .Block(BlockKind::kMore, "o")
                                         .Build();
  EXPECT_EQ(ToUtf8(document.text), "one two");
}

TEST(Blocks, PartsArePages) {
  const ExtractedDocument document = Frames(DocumentType::kPptx, 9)
                                         .Part(2)
                                         .Block(BlockKind::kRow, "a")
                                         .Part(3)
                                         .Part(5)
                                         .Block(BlockKind::kRow, "b")
                                         .Part(9)
                                         .Build();
  EXPECT_EQ(ToUtf8(document.text), "a\n\nb");
  std::vector<std::string> labels;
  for (const Page& page : document.pages) labels.push_back(page.label);
  EXPECT_THAT(labels, ElementsAre("slide 2", "slide 3", "slide 5", "slide 9"));
  const PageRange at = PagesOf(document.pages, {3, 4});
  EXPECT_EQ(document.pages[at.first].number, 5U);
  EXPECT_EQ(Frames(DocumentType::kXlsx, 1).Part(1, "Budget").Build().pages[0].label, "sheet Budget");
}

TEST(Blocks, WhatTheDecoderRefuses) {
  const auto bad = [](const Frames& frames) { return !frames.Decode().ok(); };
  EXPECT_TRUE(bad(Frames(DocumentType::kPdf, 1).Block(BlockKind::kRow, "x")));
  EXPECT_TRUE(bad(Frames(DocumentType::kText).Block(BlockKind::kRow, "x")));
  EXPECT_TRUE(bad(Frames(DocumentType::kPptx, 1).Block(BlockKind::kRow, "x"))) << "before the first part";
  EXPECT_TRUE(bad(Frames(DocumentType::kPptx, 1).Part(2)));
  EXPECT_TRUE(bad(Frames(DocumentType::kPptx, 3).Part(2).Part(2)));
  EXPECT_TRUE(bad(Frames(DocumentType::kCsv, 3).Part(1)));
  EXPECT_TRUE(bad(Frames(DocumentType::kCsv).Block(BlockKind::kMore, "x")));
  EXPECT_TRUE(
      bad(Frames(DocumentType::kPptx, 3).Part(1).Block(BlockKind::kRow, "x").Part(2).Block(BlockKind::kMore, "x")));
  EXPECT_TRUE(bad(Frames(DocumentType::kCsv).Block(static_cast<BlockKind>(9), "x")));
  EXPECT_TRUE(bad(Frames(DocumentType::kCsv).Block(BlockKind::kRow, "x", 10)));
  EXPECT_TRUE(bad(Frames(DocumentType::kCsv).Block(BlockKind::kRow, "\xFF")));
  EXPECT_TRUE(bad(Frames(DocumentType::kCsv).Block(BlockKind::kRow, std::string(wire::kBlockBytesMax + 1, 'x'))));
  EXPECT_TRUE(bad(Frames(DocumentType::kCsv).Raw(Bytes().U32(1'000'000'000))));
  EXPECT_TRUE(bad(Frames(DocumentType::kCsv).Raw(Bytes().U32(0).U8(1)))) << "something behind it";
  EXPECT_FALSE(bad(Frames(DocumentType::kCsv).Block(BlockKind::kRow, "x")));
}

std::vector<std::string> Titles(std::u32string_view text, DocumentType type) {
  std::vector<std::string> titles;
  for (const Heading& heading : FindDefinitions(text, type)) titles.push_back(heading.title);
  return titles;
}

TEST(Definitions, ByLanguage) {
  EXPECT_THAT(Titles(U"import os\n\nclass Pump(Device):\n    def run(self):\n        pass\n\nasync def main():\n",
                     DocumentType::kPython),
              ElementsAre("class Pump(Device)", "def main()"));
  EXPECT_THAT(Titles(U"export default class Pump extends Device {\n  run() {}\n}\nfunction start() {\nclassy = 1\n",
                     DocumentType::kBraces),
              ElementsAre("class Pump extends Device", "function start()"));
  EXPECT_THAT(Titles(U"package main\nfunc main() {\n\ttype x int\n}\n", DocumentType::kGo), ElementsAre("func main()"));
  EXPECT_THAT(Titles(U"pub struct Pump {\n}\nimpl Pump {\n", DocumentType::kRust),
              ElementsAre("struct Pump", "impl Pump"));
  EXPECT_THAT(Titles(U"\\section{One}\ntext\n\\subsection*{Two}\n\\sectional{no}\n", DocumentType::kTex),
              ElementsAre("One", "Two"));
  EXPECT_THAT(Titles(U"int main() {\n", DocumentType::kSource), ElementsAre());
}

TEST(Definitions, AreHeadingsOfCode) {
  RawDocument raw;
  raw.begun = true;
  raw.type = DocumentType::kPython;
  raw.text = U"x = 1\r\ndef pump():\r\n    return 1\r\n";
  const ExtractedDocument document = BuildDocument(std::move(raw));
  EXPECT_TRUE(document.by_line);
  ASSERT_EQ(document.headings.size(), 1U);
  EXPECT_EQ(HeadingPath(document.headings, document.body_end - 2), "def pump()");
}

uint32_t CountWords(std::string_view text) {
  uint32_t words = 0;
  bool in = false;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n';
    words += !space && !in ? 1 : 0;
    in = !space;
  }
  return words;
}

TEST(PassagesOfLines, RowsAreNeverCutIfTheyFit) {
  ExtractedDocument document;
  for (int i = 0; i < 500; ++i) document.text += U"name: Dr. Ada. She came; city: Turin; note: a b c d e\n";
  document.body_end = static_cast<uint32_t>(document.text.size());
  document.by_line = true;
  const auto chunks = Chunk(document, {.max_tokens = 100, .overlap_tokens = 0, .window_tokens = 50}, CountWords);
  ASSERT_TRUE(chunks.ok());
  EXPECT_GT(chunks->sub_passages.size(), 100U);
  for (const SubPassage& sub : chunks->sub_passages) {
    const std::u32string_view text = std::u32string_view(document.text).substr(sub.span.begin, sub.span.size());
    EXPECT_TRUE(text.starts_with(U"name: ") && text.ends_with(U"d e"));
    EXPECT_LE(sub.tokens, 50U);
  }
}

TEST(PassagesOfLines, ALineThatIsTooLongIsCut) {
  ExtractedDocument document;
  for (int i = 0; i < 40'000; ++i) document.text += U"word ";
  document.body_end = static_cast<uint32_t>(document.text.size());
  document.by_line = true;
  const auto chunks = Chunk(document, {.max_tokens = 100, .overlap_tokens = 0, .window_tokens = 50}, CountWords);
  ASSERT_TRUE(chunks.ok());
  uint32_t tokens = 0;
  for (const SubPassage& sub : chunks->sub_passages) tokens += sub.tokens;
  EXPECT_EQ(tokens, 40'000U);
}

}  // namespace
}  // namespace carrel::retrieval
