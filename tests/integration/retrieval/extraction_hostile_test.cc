// Documents made to hurt who reads them, in the real jail: each ends within its limits, with its own verdict and
// sentence; what was read before stays; the next document is read as if nothing had been.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "jailed_extraction.h"
#include "office/zip_writer.h"
#include "pdf/pdf_writer.h"

namespace carrel::retrieval {
namespace {

using testing::DocxOf;
using testing::DocxParts;
using ::testing::HasSubstr;
using testing::PptxOf;
using testing::Repeated;
using testing::SlideShape;
using testing::XlsxOf;
using testing::XlsxParts;
using testing::ZipEntry;
using testing::ZipOf;

std::string P(std::string_view text) { return "<w:p><w:r><w:t>" + std::string(text) + "</w:t></w:r></w:p>"; }
std::string Row(std::string_view text) { return "<row><c t=\"str\"><v>" + std::string(text) + "</v></c></row>"; }

// The same in every run.
std::string Noise(size_t size) {
  std::string noise;
  noise.reserve(size);
  uint32_t state = 1;
  while (noise.size() < size) {
    state = state * 1664525u + 1013904223u;
    noise += "0123456789abcdef"[state >> 28];
  }
  return noise;
}

class HostileDocument : public JailedExtraction {
 protected:
  void TearDown() override {
    if (jailer_ == nullptr) return;
    const Extraction next = ExtractBytes("The next one is read.", "next.txt");
    EXPECT_EQ(next.verdict, Verdict::kRead) << next.message;
  }
  static std::string BodyOf(const Extraction& extraction) {
    return ToUtf8(std::u32string_view(extraction.document.text).substr(0, extraction.document.body_end));
  }
  void ExpectPartial(const Extraction& extraction, const std::string& message, const std::string& body) {
    EXPECT_EQ(static_cast<int>(extraction.verdict), static_cast<int>(Verdict::kPartial)) << extraction.message;
    EXPECT_EQ(extraction.message, message);
    EXPECT_EQ(BodyOf(extraction).substr(0, 200), body);
  }
  void ExpectFailure(const Extraction& extraction, Verdict verdict, const std::string& message) {
    EXPECT_EQ(static_cast<int>(extraction.verdict), static_cast<int>(verdict)) << extraction.message;
    EXPECT_EQ(extraction.message, message);
    EXPECT_TRUE(extraction.document.text.empty());
  }
};

TEST_F(HostileDocument, ZipOfTooManyEntries) {
  std::vector<ZipEntry> parts = DocxParts(P("text"));
  for (int i = 0; i < 20'000; ++i) parts.push_back({.name = "x" + std::to_string(i), .content = "", .deflated = false});
  ExpectFailure(ExtractBytes(ZipOf(parts), "many.docx"), Verdict::kLimit,
                "It was not read: at most 20000 entries of an archive are read, and it has 20002.");
}

TEST_F(HostileDocument, ZipBombByItsRatio) {
  ExpectFailure(ExtractBytes(DocxOf(P("text") + std::string(64u << 20, ' ')), "bomb.docx"), Verdict::kLimit,
                "It was not read: it unpacks to more than 500 times its size, as ZIP bombs do.");
}

// Sheets that are all the same part, as in bombs whose entries overlap.
TEST_F(HostileDocument, ZipBombByWhatItUnpacksToInAll) {
  std::vector<std::pair<std::string, std::string>> sheets = {{"one", Row("kept") + "<!--" + Noise(20u << 20) + "-->"}};
  for (int i = 0; i < 40; ++i) sheets.emplace_back("s" + std::to_string(i), "");
  std::vector<ZipEntry> parts = XlsxParts(sheets);
  for (ZipEntry& part : parts) {
    part.deflated = false;
    if (part.name != "xl/_rels/workbook.xml.rels") continue;
    for (size_t at = 0; (at = part.content.find("sheets/sheet", at)) != std::string::npos; ++at) {
      const size_t end = part.content.find(".xml", at);
      part.content.replace(at, end - at, "sheets/sheet1");
    }
  }
  const Extraction extraction = ExtractBytes(ZipOf(parts), "bomb.xlsx");
  EXPECT_EQ(extraction.verdict, Verdict::kPartial) << extraction.message;
  EXPECT_THAT(extraction.message, HasSubstr(" of 41 sheets were read: at most 512 MiB of it are unpacked."));
  EXPECT_THAT(BodyOf(extraction), HasSubstr("one\n\nkept\n\ns0\n\nkept"));
}

TEST_F(HostileDocument, APartOfTooManyBytes) {
  std::vector<ZipEntry> parts = DocxParts(P("text") + "<!--" + Noise(97u << 20) + "-->");
  parts[1].deflated = false;
  ExpectFailure(ExtractBytes(ZipOf(parts), "large.docx"), Verdict::kLimit,
                "It was not read: at most 96 MiB of a part are read, and word/document.xml has more.");
}

TEST_F(HostileDocument, AnArchiveWithinTheArchiveIsNotOpened) {
  std::vector<ZipEntry> parts = DocxParts(P("text"));
  parts.push_back({.name = "word/embeddings/bomb.zip",
                   .content = ZipOf({{.name = "zeros", .content = std::string(64u << 20, '\0')}})});
  const Extraction extraction = ExtractBytes(ZipOf(parts), "nested.docx");
  EXPECT_EQ(extraction.verdict, Verdict::kRead) << extraction.message;
  EXPECT_EQ(BodyOf(extraction), "text");
}

// What is unpacked is counted, not what is claimed; the checksum is.
TEST_F(HostileDocument, EntriesThatLieAboutTheirSize) {
  for (const uint32_t claimed : {0u, 1u, 1u << 30, 0xFFFFFFFEu}) {
    std::vector<ZipEntry> parts = DocxParts(P("text") + Repeated(" ", 5000));
    parts[1].claimed_size = claimed;
    const Extraction extraction = ExtractBytes(ZipOf(parts), "lies.docx");
    EXPECT_EQ(extraction.verdict, Verdict::kRead) << extraction.message;
    EXPECT_EQ(BodyOf(extraction), "text");
    parts[1].content += std::string(32u << 20, ' ');
    ExpectFailure(ExtractBytes(ZipOf(parts), "lies.docx"), Verdict::kLimit,
                  "It was not read: it unpacks to more than 500 times its size, as ZIP bombs do.");
  }
  std::vector<ZipEntry> parts = DocxParts(P("text"));
  parts[1].claimed_crc = 1;
  ExpectFailure(ExtractBytes(ZipOf(parts), "lies.docx"), Verdict::kDamaged,
                "The document is damaged: word/document.xml cannot be unpacked.");
}

TEST_F(HostileDocument, NamesThatLeadOutOfTheArchive) {
  std::vector<ZipEntry> parts = DocxParts(P("text"));
  parts.push_back({.name = "../../../../tmp/evil", .content = "x"});
  parts.push_back({.name = "word/styles.xml", .content = "/etc/passwd", .external_attributes = 0120777u << 16});
  const Extraction extraction = ExtractBytes(ZipOf(parts), "names.docx");
  EXPECT_EQ(extraction.verdict, Verdict::kRead) << extraction.message;
  parts[0].content =
      "<Relationships><Relationship Id=\"r\" Type=\"x/officeDocument\" Target=\"/../../etc/passwd\"/></Relationships>";
  ExpectFailure(ExtractBytes(ZipOf(parts), "out.docx"), Verdict::kDamaged,
                "The document is damaged: etc/passwd is not in its archive.");
}

TEST_F(HostileDocument, XmlBombOfEntities) {
  std::vector<ZipEntry> parts = DocxParts("");
  std::string bomb = "<!DOCTYPE d [<!ENTITY a0 \"lol\">";
  for (int i = 1; i < 12; ++i) {
    bomb += "<!ENTITY a" + std::to_string(i) + " \"" + Repeated("&a" + std::to_string(i - 1) + ";", 10) + "\">";
  }
  parts[1].content = bomb + "]><w:document xmlns:w=\"w\"><w:body>" + P("&a11;") + "</w:body></w:document>";
  ExpectFailure(
      ExtractBytes(ZipOf(parts), "lol.docx"), Verdict::kDamaged,
      "The document is damaged: word/document.xml declares a document type, as XML bombs do and Office never does.");
}

TEST_F(HostileDocument, XmlOfGreatDepth) {
  ExpectFailure(ExtractBytes(DocxOf(Repeated("<w:sdt>", 1'000'000)), "deep.docx"), Verdict::kLimit,
                "It was not read: at most 256 levels of nesting are read (in word/document.xml).");
  const Extraction sheets =
      ExtractBytes(XlsxOf({{"a", Row("kept")}, {"b", Row("too") + Repeated("<x>", 1'000'000)}}), "deep.xlsx");
  ExpectPartial(sheets, "Not all of it was read: at most 256 levels of nesting are read (in xl/worksheets/sheet2.xml).",
                "a\n\nkept\n\nb\n\ntoo");
}

TEST_F(HostileDocument, XmlOfTooManyElements) {
  std::string many;
  for (int i = 0; i < 4'100'000; ++i)
    many += i % 7 == 0 ? "<w:a/><b i=\"" + std::to_string(i * 7919L % 1000003) + "\"/>" : "<w:a/>";
  ExpectFailure(ExtractBytes(DocxOf(many), "many.docx"), Verdict::kLimit,
                "It was not read: at most 4000000 elements of a part are read.");
}

TEST_F(HostileDocument, HtmlOfGreatDepth) {
  ExpectPartial(ExtractBytes("<p>Before.</p>" + Repeated("<div>", 2'000'000), "deep.html"),
                "Not all of it was read: at most 512 levels of nesting are read.", "Before.");
}

TEST_F(HostileDocument, HtmlOfTooManyTagsOrAttributes) {
  ExpectPartial(ExtractBytes("<p>Before.</p>" + Repeated("<i></i>", 2'000'000), "tags.html"),
                "Not all of it was read: at most 1000000 tags are read.", "Before.");
  std::string tag = "<p>Before.</p><p";
  for (int i = 0; i < 500'000; ++i) tag += " a" + std::to_string(i);
  ExpectPartial(ExtractBytes(tag + ">", "attributes.html"),
                "Not all of it was read: at most 1000 attributes of a tag are read.", "Before.");
}

// What the guard before gumbo does not see: these tags nest in MathML alone.
TEST_F(HostileDocument, HtmlThatGetsPastTheGuardEndsAtALimit) {
  for (const std::string& html : {"<p>Before.</p><math>" + Repeated("<td>", 900'000),
                                  "<p>Before.</p>" + Repeated("<b><p>", 500) + Repeated("<p>", 200'000)}) {
    const absl::Time start = absl::Now();
    const Extraction extraction =
        ExtractBytes(html, "math.html", {.memory_bytes_max = 512u << 20, .cpu_seconds_max = 2});
    EXPECT_TRUE(extraction.verdict == Verdict::kLimit || extraction.verdict == Verdict::kRead ||
                extraction.verdict == Verdict::kPartial)
        << extraction.message;
    EXPECT_LT(absl::Now() - start, absl::Seconds(60));
  }
}

TEST_F(HostileDocument, ALargeHtmlWithinLittleMemory) {
  const Extraction extraction =
      ExtractBytes("<p>Before.</p>" + Repeated("<p>x</p>", 400'000), "large.html", {.memory_bytes_max = 64u << 20});
  ExpectFailure(extraction, Verdict::kLimit, "It was not read: reading it takes more than 64 MiB of memory.");
}

TEST_F(HostileDocument, AMillionColumns) {
  std::string columns;
  for (int i = 0; i < 1'000'000; ++i) columns += "1,";
  ExpectPartial(ExtractBytes("a,b\n1,2\n" + columns, "wide.csv"),
                "Not all of it was read: at most 16384 columns of a row are read, and row 3 has more.",
                ("a; b\na: 1; b: 2\na: 1; b: 1; " + Repeated("1; ", 100)).substr(0, 200));
  ExpectPartial(ExtractBytes(XlsxOf({{"s", Row("kept") + "<row><c r=\"XFE2\"><v>1</v></c></row>"}}), "wide.xlsx"),
                "Not all of it was read: at most 16384 columns of a row are read, and row 2 of a sheet has more.",
                "s\n\nkept");
}

TEST_F(HostileDocument, OneLineOfAHundredMegabytes) {
  const std::string line(100u << 20, 'a');
  ExpectPartial(
      ExtractBytes("a,b\n1,2\n3," + line, "line.csv"),
      "Not all of it was read: at most 1 MiB of a cell is read, and row 3 has a longer one (a quote that is not "
      "closed makes one).",
      "a; b\na: 1; b: 2\na: 3; b: " + std::string(175, 'a'));
  const Extraction json = ExtractBytes("{\"k\": \"" + line + "\"}", "line.json");
  EXPECT_EQ(json.verdict, Verdict::kRead) << json.message;
  EXPECT_EQ(json.document.body_end, line.size() + 3);
  const Extraction code = ExtractBytes(line, "line.py");
  EXPECT_EQ(code.verdict, Verdict::kRead) << code.message;
  const Extraction html = ExtractBytes("<p>Before.</p><p>" + line, "line.html");
  ExpectPartial(html, "Not all of it was read: at most 64 MiB of an HTML file are read.",
                "Before.\n\n" + std::string(191, 'a'));
}

TEST_F(HostileDocument, JsonOfGreatDepth) {
  ExpectPartial(ExtractBytes("{\"first\": \"kept\", \"x\": " + std::string(5'000'000, '['), "deep.json"),
                "Not all of it was read: at most 256 levels of nesting are read.", "first: kept");
}

TEST_F(HostileDocument, MoreTextThanIsTaken) {
  const Extraction extraction = ExtractBytes(Repeated("A line of text that goes on and on.\n", 200'000), "long.txt",
                                             {.text_bytes_max = 1u << 20});
  EXPECT_EQ(extraction.verdict, Verdict::kPartial);
  EXPECT_EQ(extraction.message, "Not all of it was read: its text with its layout takes more than 1 MiB.");
  EXPECT_GT(extraction.document.body_end, 700'000U);
}

TEST_F(HostileDocument, TooManySlides) {
  const Extraction extraction =
      ExtractBytes(PptxOf({SlideShape("One."), SlideShape("Two."), SlideShape("Three.")}), "d.pptx", {.pages_max = 2});
  ExpectPartial(extraction, "Only 2 of 3 slides were read: at most 2 slides of a document are read.", "One.\n\nTwo.");
}

TEST_F(HostileDocument, EncryptedAndOldOfficeFiles) {
  std::string ole = "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1" + std::string(1000, '\0');
  ExpectFailure(
      ExtractBytes(ole, "old.docx"), Verdict::kUnsupported,
      "Its name says Word (docx) and its bytes are those of an Office version before 2007; open it and save it as "
      "what its name says.");
  for (const char c : std::string("EncryptedPackage")) ole += {c, '\0'};
  ExpectFailure(ExtractBytes(ole, "locked.xlsx"), Verdict::kEncrypted,
                "The document is encrypted and needs a password.");
  std::vector<ZipEntry> parts = DocxParts(P("x"));
  for (ZipEntry& part : parts) part.flags = 1;
  ExpectFailure(ExtractBytes(ZipOf(parts), "locked.docx"), Verdict::kEncrypted,
                "The document's archive is encrypted and needs a password.");
}

TEST_F(HostileDocument, NamesAndBytesThatDisagree) {
  const auto refused = [&](const std::string& bytes, const std::string& name, const std::string& message) {
    ExpectFailure(ExtractBytes(bytes, name), Verdict::kUnsupported, message);
  };
  refused("\x89PNG\r\n\x1A\n....", "a.docx", "Its name says Word (docx) and its bytes are a PNG picture.");
  refused(DocxOf(P("x")), "a.xlsx", "Its name says Excel (xlsx) and its bytes are a Word document (docx).");
  refused(DocxOf(P("x")), "a.csv", "Its name says CSV and its bytes are a ZIP archive.");
  refused("\x1F\x8B\x08 gzip", "a.py", "Its name says text and its bytes are a gzip file.");
  refused("%PDF-1.7\n", "a.html", "Its name says HTML and its bytes are a PDF.");
  refused("{\\rtf1 text}", "a.json", "Its name says JSON and its bytes are RTF.");
}

// The documents of every kind, under the policy's system calls and nothing else.
TEST_F(HostileDocument, OrdinaryOnesOfEveryKindAreRead) {
  for (const char* name : {"office/report.docx", "office/talk.pptx", "office/budget.xlsx"}) {
    const Extraction extraction = ExtractTestFile(name);
    EXPECT_EQ(extraction.verdict, Verdict::kRead) << name << ": " << extraction.message;
  }
  const std::pair<const char*, const char*> texts[] = {{"a.html", "<p>text"},
                                                       {"a.csv", "a,b\n1,2"},
                                                       {"a.tsv", "a\tb"},
                                                       {"a.json", "{\"a\": 1.5}"},
                                                       {"a.jsonl", "{}\n{\"a\": 1}"},
                                                       {"a.py", "x = 1"},
                                                       {"a.html", "<meta charset=latin1><p>caf\xE9"}};
  for (const auto& [name, bytes] : texts) {
    const Extraction extraction = ExtractBytes(bytes, name);
    EXPECT_EQ(extraction.verdict, Verdict::kRead) << name << ": " << extraction.message;
  }
}

// While bombs burn, in a process each, others are read.
TEST_F(HostileDocument, NoneBlocksAnother) {
  const std::string bomb = testing::Bomb(9);
  std::vector<std::jthread> bombs;
  std::atomic<int> ended = 0;
  for (int i = 0; i < 2; ++i) {
    bombs.emplace_back([&] {
      const Extraction extraction =
          ExtractBytes(bomb, "bomb.pdf", {.cpu_seconds_max = 4, .wall_max = absl::Seconds(40)});
      EXPECT_EQ(extraction.verdict, Verdict::kLimit) << extraction.message;
      ++ended;
    });
  }
  for (int i = 0; i < 5; ++i) {
    const Extraction extraction = ExtractBytes(DocxOf(P("A small one.")), "small.docx");
    EXPECT_EQ(extraction.verdict, Verdict::kRead) << extraction.message;
  }
  EXPECT_EQ(ended, 0) << "the small ones did not wait for the bombs";
}

}  // namespace
}  // namespace carrel::retrieval
