// docx, xlsx and pptx, of parts written by hand. Those that libraries write: extraction_office_test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "docx.h"
#include "docx_styles.h"
#include "office/zip_writer.h"
#include "pptx.h"
#include "run_reader.h"
#include "xlsx.h"
#include "xlsx_values.h"

namespace carrel::retrieval::extract {
namespace {

using testing::DocxOf;
using testing::DocxParts;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::PptxOf;
using testing::PptxParts;
using testing::Repeated;
using testing::SlideShape;
using testing::XlsxOf;
using testing::ZipEntry;
using testing::ZipOf;
using wire::ExtractLimit;
using wire::ExtractVerdict;

ReaderResult Docx(const std::string& bytes) {
  return RunReader([&](FrameWriter& out) { return ExtractDocx(bytes, out); });
}
ReaderResult Xlsx(const std::string& bytes, uint32_t sheets_max = 100) {
  return RunReader([&](FrameWriter& out) { return ExtractXlsx(bytes, sheets_max, out); });
}
ReaderResult Pptx(const std::string& bytes, uint32_t slides_max = 100) {
  return RunReader([&](FrameWriter& out) { return ExtractPptx(bytes, slides_max, out); });
}
std::vector<std::string> Labels(const ReaderResult& result) {
  std::vector<std::string> labels;
  for (const Page& page : result.document.pages) labels.push_back(page.label);
  return labels;
}

std::string P(std::string_view text) { return "<w:p><w:r><w:t>" + std::string(text) + "</w:t></w:r></w:p>"; }

TEST(Docx, RunsBreaksAndChanges) {
  EXPECT_EQ(
      Docx(DocxOf("<w:p><w:r><w:t>One</w:t></w:r><w:r><w:t xml:space=\"preserve\"> two</w:t><w:tab/><w:t>three</w:t>"
                  "<w:br/><w:t>four</w:t><w:noBreakHyphen/><w:t>five</w:t></w:r></w:p>"))
          .text,
      "One two three\nfour-five");
  EXPECT_EQ(
      Docx(DocxOf("<w:p><w:del><w:r><w:t>gone</w:t><w:delText>gone</w:delText></w:r></w:del><w:ins><w:r><w:t>new"
                  "</w:t></w:r></w:ins><w:moveFrom><w:r><w:t>gone</w:t></w:r></w:moveFrom><w:hyperlink><w:r><w:t> link"
                  "</w:t></w:r></w:hyperlink><w:r><w:instrText>PAGE</w:instrText></w:r></w:p>"))
          .text,
      "new link");
  EXPECT_EQ(Docx(DocxOf("<w:sdt><w:sdtContent>" + P("in a control") + "</w:sdtContent></w:sdt>")).text, "in a control");
}

TEST(Docx, TablesWithinTables) {
  const std::string inner = "<w:tbl><w:tr><w:tc>" + P("x") + "</w:tc><w:tc>" + P("y") + "</w:tc></w:tr></w:tbl>";
  EXPECT_EQ(
      Docx(DocxOf("<w:tbl><w:tr><w:tc>" + P("a") + P("b") + "</w:tc><w:tc>" + inner + "</w:tc></w:tr></w:tbl>")).text,
      "a b | x y");
  EXPECT_EQ(Docx(DocxOf("<w:tbl><w:tr><w:tc>" + P("a") + P("b") + inner + "</w:tc></w:tr></w:tbl>")).text,
            "a\n\nb\n\nx | y")
      << "one column is a frame";
}

TEST(Docx, TextThatIsOnlyMarkupIsEmpty) { EXPECT_EQ(Docx(DocxOf("<w:p/><w:sectPr/>")).text, ""); }

TEST(DocxNumbering, CountsAsWordDoes) {
  const XmlTree tree = XmlTree::Parse("n", R"xml(<numbering>
    <abstractNum abstractNumId="0">
      <lvl ilvl="0"><start val="1"/><numFmt val="decimal"/><lvlText val="%1."/></lvl>
      <lvl ilvl="1"><start val="1"/><numFmt val="lowerLetter"/><lvlText val="%1.%2)"/></lvl>
      <lvl ilvl="2"><numFmt val="upperRoman"/><lvlText val="(%3)"/></lvl>
    </abstractNum>
    <abstractNum abstractNumId="1"><lvl ilvl="0"><numFmt val="bullet"/><lvlText val="o"/></lvl></abstractNum>
    <num numId="5"><abstractNumId val="0"/></num>
    <num numId="6"><abstractNumId val="0"/><lvlOverride ilvl="0"><startOverride val="7"/></lvlOverride></num>
    <num numId="7"><abstractNumId val="1"/></num></numbering>)xml");
  DocxNumbering numbering(tree);
  EXPECT_EQ(numbering.Next({"5", 0}), "1. ");
  EXPECT_EQ(numbering.Next({"5", 1}), "1.a) ");
  EXPECT_EQ(numbering.Next({"5", 1}), "1.b) ");
  EXPECT_EQ(numbering.Next({"5", 2}), "(I) ");
  EXPECT_EQ(numbering.Next({"5", 0}), "2. ");
  EXPECT_EQ(numbering.Next({"5", 1}), "2.a) ");
  EXPECT_EQ(numbering.Next({"6", 0}), "7. ");
  EXPECT_EQ(numbering.Next({"6", 0}), "8. ");
  EXPECT_EQ(numbering.Next({"7", 0}), "- ");
  EXPECT_EQ(numbering.Next({"0", 0}), "");
  EXPECT_EQ(numbering.Next({"5", 99}), "");
}

TEST(DocxStyles, AStyleBasedOnItselfEnds) {
  const DocxStyles styles(XmlTree::Parse("s", R"(<styles><style styleId="a"><name val="A"/><basedOn val="b"/></style>
    <style styleId="b"><name val="heading 3"/><basedOn val="a"/></style></styles>)"));
  EXPECT_EQ(styles.Of("a").heading, 3);
  EXPECT_EQ(styles.Of("nobody").heading, 0);
}

TEST(Xlsx, SharedStringsFormatsAndGaps) {
  const ReaderResult result = Xlsx(XlsxOf(
      {{"Budget",
        "<row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c><c r=\"C1\" t=\"s\"><v>1</v></c><c t=\"s\"><v>2</v></c></row>"
        "<row r=\"4\"><c r=\"A4\" t=\"inlineStr\"><is><r><t>Shel</t></r><r><t>ves</t></r></is></c>"
        "<c r=\"C4\" s=\"1\"><f>TODAY()</f><v>45352.75</v></c><c><v>30.000000000000004</v></c>"
        "<c t=\"b\"><v>1</v></c><c t=\"e\"><v>#DIV/0!</v></c></row>"}},
      "<si><t>Item</t></si><si><r><t>D</t></r><r><t>ue</t></r><rPh><t>x</t></rPh></si><si><t>Cost</t></si>",
      "<numFmts><numFmt numFmtId=\"170\" formatCode=\"yyyy\\-mm\\-dd hh:mm\"/></numFmts><cellXfs><xf "
      "numFmtId=\"0\"/><xf "
      "numFmtId=\"170\"/></cellXfs>"));
  EXPECT_EQ(result.verdict.verdict, ExtractVerdict::kRead) << result.verdict.sentence;
  EXPECT_EQ(result.text, "Budget\n\nItem; Due; Cost\nItem: Shelves; Due: 2024-03-01 18:00; Cost: 30; TRUE; #DIV/0!");
  EXPECT_THAT(Labels(result), ElementsAre("sheet Budget"));
  ASSERT_EQ(result.document.headings.size(), 1U);
  EXPECT_EQ(result.document.headings[0].title, "Budget");
}

TEST(Xlsx, Numbers) {
  EXPECT_EQ(FormatNumber("0.1", NumberKind::kPlain, false), "0.1");
  EXPECT_EQ(FormatNumber("1E+20", NumberKind::kPlain, false), "1e+20");
  EXPECT_EQ(FormatNumber("0.125", NumberKind::kPercent, false), "12.5%");
  EXPECT_EQ(FormatNumber("1", NumberKind::kDate, false), "1900-01-01");
  EXPECT_EQ(FormatNumber("59", NumberKind::kDate, false), "1900-02-28");
  EXPECT_EQ(FormatNumber("61", NumberKind::kDate, false), "1900-03-01");
  EXPECT_EQ(FormatNumber("45351", NumberKind::kDate, false), "2024-02-29");
  EXPECT_EQ(FormatNumber("43889", NumberKind::kDate, true), "2024-02-29");
  EXPECT_EQ(FormatNumber("2958465", NumberKind::kDate, false), "9999-12-31");
  EXPECT_EQ(FormatNumber("2958466", NumberKind::kDate, false), "2958466") << "no day that Excel knows";
  EXPECT_EQ(FormatNumber("-1", NumberKind::kDate, false), "-1");
  EXPECT_EQ(FormatNumber("0.999988425925926", NumberKind::kTime, false), "23:59:59");
  EXPECT_EQ(FormatNumber("1.5", NumberKind::kDuration, false), "36:00");
  EXPECT_EQ(FormatNumber("nonsense", NumberKind::kDate, false), "nonsense");
}

TEST(Xlsx, KindsOfFormats) {
  EXPECT_EQ(KindOfFormat("General"), NumberKind::kPlain);
  EXPECT_EQ(KindOfFormat("#,##0.00\\ \"days\";[Red]-#,##0.00"), NumberKind::kPlain);
  EXPECT_EQ(KindOfFormat("[$-407]d. mmmm yyyy"), NumberKind::kDate);
  EXPECT_EQ(KindOfFormat("mmm"), NumberKind::kDate);
  EXPECT_EQ(KindOfFormat("h:mm AM/PM"), NumberKind::kTime);
  EXPECT_EQ(KindOfFormat("[h]:mm"), NumberKind::kDuration);
  EXPECT_EQ(KindOfFormat("m/d/yy h:mm"), NumberKind::kDateTime);
  EXPECT_EQ(KindOfFormat("0%"), NumberKind::kPercent);
  for (const char* open : {"\"", "[", "\\", "_", "*"}) EXPECT_EQ(KindOfFormat(open), NumberKind::kPlain);
}

TEST(Xlsx, SheetsBeyondTheLimitAndDamagedOnes) {
  const std::string row = "<row><c t=\"str\"><v>text</v></c></row>";
  const ReaderResult few = Xlsx(XlsxOf({{"a", row}, {"b", row}, {"c", row}}), 2);
  EXPECT_EQ(few.verdict.limit, ExtractLimit::kPages);
  EXPECT_THAT(Labels(few), ElementsAre("sheet a", "sheet b"));
  const ReaderResult damaged = Xlsx(XlsxOf({{"a", row}, {"b", row + "</row>"}}));
  EXPECT_EQ(damaged.verdict.sentence, "the sheet b is damaged");
  EXPECT_EQ(damaged.text, "a\n\ntext\n\nb\n\ntext");
}

TEST(Pptx, SlidesInOrderWithTitleFirst) {
  const ReaderResult result = Pptx(PptxOf(
      {SlideShape("Some text.") + SlideShape("The title", "title") + SlideShape("7", "sldNum"), SlideShape("Two.")}));
  EXPECT_EQ(result.text, "The title\n\nSome text.\n\nTwo.");
  EXPECT_THAT(Labels(result), ElementsAre("slide 1", "slide 2"));
  const Page& second = result.document.pages[1];
  EXPECT_EQ(ToUtf8(std::u32string_view(result.document.text).substr(second.body.begin, second.body.size())), "Two.");
}

TEST(Pptx, ADamagedSlideIsLeftOutWithItsNumber) {
  const ReaderResult result = Pptx(PptxOf({SlideShape("One."), "<p:sp>", SlideShape("Three.")}));
  EXPECT_EQ(result.verdict.verdict, ExtractVerdict::kRead);
  EXPECT_THAT(Labels(result), ElementsAre("slide 1", "slide 3"));
  EXPECT_EQ(Pptx(PptxOf({"<p:sp>"})).verdict.verdict, ExtractVerdict::kDamaged);
  EXPECT_EQ(Pptx(PptxOf({})).verdict.verdict, ExtractVerdict::kEmpty);
}

TEST(Pptx, DamagedNotesTakeNoSlideAway) {
  std::vector<ZipEntry> parts = PptxParts({SlideShape("One.")});
  parts.push_back({.name = "ppt/slides/_rels/slide1.xml.rels",
                   .content = "<Relationships><Relationship Id=\"n\" Type=\"x/notesSlide\" Target=\"../notes.xml\"/>"
                              "</Relationships>"});
  parts.push_back({.name = "ppt/notes.xml", .content = "<p:notes>"});
  EXPECT_EQ(Pptx(ZipOf(parts)).text, "One.");
  parts.back().content = "<p:notes xmlns:p=\"p\" xmlns:a=\"a\"><p:cSld><p:spTree>" + SlideShape("Say so.", "body") +
                         "</p:spTree></p:cSld></p:notes>";
  EXPECT_EQ(Pptx(ZipOf(parts)).text, "One.\n\nNotes: Say so.");
}

// What is in an archive and what its name says.
TEST(OfficePackage, KindsMustAgree) {
  EXPECT_EQ(Docx(XlsxOf({{"a", ""}})).verdict.sentence,
            "Its name says Word (docx) and its bytes are an Excel workbook (xlsx).");
  EXPECT_EQ(Xlsx(PptxOf({"x"})).verdict.sentence,
            "Its name says Excel (xlsx) and its bytes are a PowerPoint presentation (pptx).");
  EXPECT_EQ(Docx(ZipOf({{.name = "a.txt", .content = "x"}})).verdict.sentence,
            "Its name says Word (docx) and its bytes are a ZIP archive of another kind.");
  EXPECT_EQ(Docx("Just text.").verdict.sentence, "Its name says Word (docx) and its bytes are something else.");
  EXPECT_EQ(Docx("%PDF-1.7").verdict.sentence, "Its name says Word (docx) and its bytes are a PDF.");
}

TEST(OfficePackage, OldAndEncryptedOnes) {
  const std::string ole = "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";
  std::string name;
  for (const char c : std::string("EncryptedPackage")) name += {c, '\0'};
  EXPECT_EQ(Docx(ole + std::string(600, '\0') + name).verdict.verdict, ExtractVerdict::kEncrypted);
  const Verdict old = Docx(ole + std::string(600, '\0')).verdict;
  EXPECT_EQ(old.verdict, ExtractVerdict::kUnsupported);
  EXPECT_THAT(old.sentence, HasSubstr("before 2007"));
  std::vector<ZipEntry> parts = DocxParts(P("x"));
  parts[0].flags = 1;
  EXPECT_EQ(Docx(ZipOf(parts)).verdict.verdict, ExtractVerdict::kEncrypted);
}

TEST(OfficePackage, DamagedOnes) {
  const std::string whole = DocxOf(P("text"));
  for (const size_t size : {size_t{10}, whole.size() / 2, whole.size() - 1}) {
    EXPECT_EQ(Docx(whole.substr(0, size)).verdict.verdict, ExtractVerdict::kDamaged) << size;
  }
  EXPECT_THAT(Docx(DocxOf("<w:p>")).verdict.sentence, HasSubstr("word/document.xml is no XML at line 1"));
  std::vector<ZipEntry> parts = DocxParts(P("x"));
  parts[1].claimed_crc = 12345;
  EXPECT_THAT(Docx(ZipOf(parts)).verdict.sentence, HasSubstr("word/document.xml cannot be"));
  parts = DocxParts(P("x"));
  parts[1].method = 93;
  EXPECT_EQ(Docx(ZipOf(parts)).verdict.verdict, ExtractVerdict::kUnsupported);
}

// A relationship that leads out of the archive leads nowhere; an entry's name is never a path.
TEST(OfficePackage, NamesThatLeadOut) {
  std::vector<ZipEntry> parts = DocxParts(P("text"));
  parts.push_back({.name = "../../../../tmp/evil", .content = "x"});
  parts.push_back({.name = "/etc/passwd", .content = "x"});
  parts.push_back({.name = "word/link", .content = "/etc/passwd", .external_attributes = 0120777u << 16});
  EXPECT_EQ(Docx(ZipOf(parts)).text, "text");
  parts = DocxParts(P("text"));
  parts[0].content =
      R"(<Relationships><Relationship Id="r" Type="x/officeDocument" Target="../../etc/passwd"/></Relationships>)";
  EXPECT_THAT(Docx(ZipOf(parts)).verdict.sentence, HasSubstr("etc/passwd is not in its archive"));
}

TEST(Xml, EntitiesAreRefused) {
  std::vector<ZipEntry> parts = DocxParts(P("x"));
  parts[1].content =
      "<?xml version=\"1.0\"?><!DOCTYPE d [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;\">]><w:document>&b;</w:document>";
  const Verdict verdict = Docx(ZipOf(parts)).verdict;
  EXPECT_EQ(verdict.verdict, ExtractVerdict::kDamaged);
  EXPECT_THAT(verdict.sentence, HasSubstr("as XML bombs do"));
}

TEST(Xml, DeepNesting) {
  const ReaderResult result = Docx(DocxOf(Repeated("<w:sdt>", 100'000) + Repeated("</w:sdt>", 100'000)));
  EXPECT_EQ(result.verdict.limit, ExtractLimit::kShape);
  EXPECT_THAT(result.verdict.sentence, HasSubstr("256 levels of nesting"));
}

}  // namespace
}  // namespace carrel::retrieval::extract
