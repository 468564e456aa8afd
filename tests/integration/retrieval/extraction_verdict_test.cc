// Each way in which a document can fail has its own verdict and sentence, and ends within its limits.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "extract_file.h"
#include "pdf/pdf_writer.h"
#include "process_jail_maker.h"

namespace carrel::retrieval {
namespace {

using testing::Bomb;
using testing::ExtractBytes;
using testing::ExtractFile;
using ::testing::HasSubstr;
using testing::PdfOfPages;
using testing::ShowText;
using ::testing::StartsWith;

Extraction Of(const std::string& bytes, const std::string& name = "document.pdf", const ExtractionLimits& limits = {}) {
  auto extraction = ExtractBytes(bytes, name, limits);
  EXPECT_TRUE(extraction.ok()) << extraction.status();
  return extraction.ok() ? *std::move(extraction) : Extraction{};
}

Extraction OfFile(const std::string& name) {
  auto extraction = ExtractFile(std::string(CARREL_TESTDATA "/pdf/") + name);
  EXPECT_TRUE(extraction.ok()) << extraction.status();
  return extraction.ok() ? *std::move(extraction) : Extraction{};
}

std::string Slurp(const std::string& name) {
  std::ifstream in(std::string(CARREL_TESTDATA "/pdf/") + name, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

std::string BodyOf(const Extraction& extraction) {
  return ToUtf8(std::u32string_view(extraction.document.text).substr(0, extraction.document.body_end));
}

// One sentence, and not the same as another verdict's.
void ExpectFailure(const Extraction& extraction, Verdict verdict, const std::string& says) {
  EXPECT_EQ(static_cast<int>(extraction.verdict), static_cast<int>(verdict)) << extraction.message;
  EXPECT_THAT(extraction.message, HasSubstr(says));
  EXPECT_EQ(extraction.message.back(), '.');
  EXPECT_TRUE(extraction.document.text.empty());
}

TEST(ExtractionVerdict, AHandMadePdfIsRead) {
  const Extraction extraction = Of(PdfOfPages({ShowText("A bridge crosses the river.")}));
  EXPECT_EQ(extraction.verdict, Verdict::kRead) << extraction.message;
  EXPECT_EQ(BodyOf(extraction), "A bridge crosses the river.");
}

TEST(ExtractionVerdict, EncryptedPdfs) {
  ExpectFailure(OfFile("odd/encrypted_aes256.pdf"), Verdict::kEncrypted, "needs a password");
  ExpectFailure(OfFile("odd/encrypted_rc4_40.pdf"), Verdict::kEncrypted, "needs a password");
  // A password for changes alone hinders no reader.
  EXPECT_EQ(OfFile("odd/owner_password.pdf").verdict, Verdict::kRead);
}

TEST(ExtractionVerdict, DamagedPdfs) {
  ExpectFailure(Of("%PDF-1.7\nand then nothing that a PDF has"), Verdict::kDamaged, "damaged");
  std::string garbled = Slurp("prose/plain.pdf");
  for (size_t i = 100; i < garbled.size(); ++i) garbled[i] = static_cast<char>(garbled[i] * 31 + 7);
  ExpectFailure(Of(garbled), Verdict::kDamaged, "damaged");
}

TEST(ExtractionVerdict, ATruncatedPdfGivesWhatIsLeftOrSaysDamaged) {
  const std::string whole = Slurp("prose/long.pdf");
  for (const double part : {0.2, 0.5, 0.9}) {
    const Extraction extraction = Of(whole.substr(0, static_cast<size_t>(part * static_cast<double>(whole.size()))));
    EXPECT_TRUE(extraction.verdict == Verdict::kDamaged || extraction.verdict == Verdict::kRead ||
                extraction.verdict == Verdict::kPartial || extraction.verdict == Verdict::kEmpty)
        << extraction.message;
  }
}

TEST(ExtractionVerdict, EmptyDocuments) {
  ExpectFailure(Of(""), Verdict::kEmpty, "not a byte");
  ExpectFailure(Of(PdfOfPages({})), Verdict::kEmpty, "no page");
  ExpectFailure(Of(" \n\t", "notes.txt"), Verdict::kEmpty, "no text");
}

TEST(ExtractionVerdict, PagesWithoutText) {
  ExpectFailure(Of(PdfOfPages({"0.5 g 100 100 400 600 re f", ""})), Verdict::kNoText, "no text on them");
  const std::string image = "q 400 0 0 400 100 200 cm BI /W 2 /H 2 /BPC 8 /CS /G ID \x10\x80\xF0\x40 EI Q";
  ExpectFailure(Of(PdfOfPages({image})), Verdict::kNoText, "character recognition");
}

TEST(ExtractionVerdict, NamesAndBytesMustAgree) {
  ExpectFailure(Of("Just text.", "report.pdf"), Verdict::kUnsupported, "says PDF");
  ExpectFailure(Of(PdfOfPages({ShowText("x")}), "report.txt"), Verdict::kUnsupported, "its bytes are a PDF");
  ExpectFailure(Of("PK\x03\x04\xFF\xFE", "notes.md"), Verdict::kUnsupported, "its bytes are a ZIP archive");
  ExpectFailure(Of("caf\xE9", "notes.txt"), Verdict::kUnsupported, "at byte 3");
}

TEST(ExtractionVerdict, AnUnknownFilterIsUnsupported) {
  ExpectFailure(Of(PdfOfPages({ShowText("never seen")}, {}, "", "/Filter /FutureDecode")), Verdict::kUnsupported,
                "compressed in a way");
}

TEST(ExtractionVerdict, APageInAnUnknownFilterIsNotCalledBlank) {
  const Extraction read = Of(PdfOfPages({ShowText("first"), ShowText("never seen"), "", ShowText("last")}, {}, "",
                                        "/Filter /FutureDecode", 2));
  EXPECT_EQ(read.verdict, Verdict::kRead);
  EXPECT_EQ(
      read.message,
      "Page 3 has no text: blank, or a picture of text, which needs character recognition. Page 2 is compressed in "
      "a way that is not read.");
}

TEST(ExtractionVerdict, TextAndMarkdown) {
  EXPECT_EQ(BodyOf(Of("One.\r\nTwo.", "notes.txt")), "One.\nTwo.");
  const Extraction markdown = Of("# Bridges\n\nText.\n", "notes.MD");
  EXPECT_EQ(markdown.verdict, Verdict::kRead);
  EXPECT_EQ(markdown.document.title, "Bridges");
  EXPECT_EQ(markdown.pages, 1U);
  const std::string large(3'000'000, 'a');
  EXPECT_EQ(BodyOf(Of(large, "large.txt")).size(), large.size());
}

std::vector<std::string> Pages(int count) {
  std::vector<std::string> pages;
  for (int i = 0; i < count; ++i) pages.push_back(ShowText("Page of many, with words on it."));
  return pages;
}

TEST(ExtractionVerdict, LimitsKeepWhatWasRead) {
  const Extraction pages = Of(PdfOfPages(Pages(9)), "d.pdf", {.pages_max = 4});
  EXPECT_EQ(pages.verdict, Verdict::kPartial);
  EXPECT_EQ(pages.message, "Only 4 of 9 pages were read: at most 4 pages of a document are read.");
  EXPECT_EQ(pages.document.pages.size(), 4U);

  const Extraction words = Of(PdfOfPages(Pages(2)), "d.pdf", {.words_per_page_max = 3});
  EXPECT_EQ(words.verdict, Verdict::kPartial);
  EXPECT_THAT(words.message, HasSubstr("at most 3 words"));

  const Extraction output = Of(PdfOfPages(Pages(200)), "d.pdf", {.output_bytes_max = 20'000});
  EXPECT_EQ(output.verdict, Verdict::kPartial);
  EXPECT_THAT(output.message, HasSubstr("takes more than 20000 bytes"));
  EXPECT_GT(output.document.pages.size(), 10U);
}

TEST(ExtractionVerdict, ADocumentThatIsTooLargeIsNotRead) {
  ExpectFailure(Of(std::string(5000, 'a'), "d.txt", {.document_bytes_max = 4999}), Verdict::kLimit, "larger than");
}

TEST(ExtractionVerdict, ABombEndsWithinItsProcessorTime) {
  const absl::Time start = absl::Now();
  const Extraction extraction =
      Of(Bomb(9), "bomb.pdf", {.memory_bytes_max = 2ull << 30, .cpu_seconds_max = 1, .wall_max = absl::Seconds(50)});
  ExpectFailure(extraction, Verdict::kLimit, "more than 1 s of processor time (at page 1)");
  EXPECT_LT(absl::Now() - start, absl::Seconds(40));
}

// Not built with sanitizers, whose shadow leaves no room for a limit of memory (last_words.cc).
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(ExtractionVerdict, ABombEndsWithinItsMemory) {
  ExpectFailure(Of(Bomb(9), "bomb.pdf", {.memory_bytes_max = 48u << 20, .cpu_seconds_max = 50}), Verdict::kLimit,
                "more than 48 MiB of memory");
}
#endif

TEST(ExtractionVerdict, ABombEndsWithinItsTime) {
  const absl::Time start = absl::Now();
  ExpectFailure(Of(Bomb(9), "bomb.pdf", {.memory_bytes_max = 2ull << 30, .wall_max = absl::Milliseconds(700)}),
                Verdict::kLimit, "longer than 700ms");
  EXPECT_LT(absl::Now() - start, absl::Seconds(20));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // it ends by its memory
TEST(ExtractionVerdict, PagesBeforeABombSurviveIt) {
  const Extraction extraction = Of(Bomb(9, Pages(3)), "bomb.pdf", {.memory_bytes_max = 48u << 20});
  EXPECT_EQ(extraction.verdict, Verdict::kPartial) << extraction.message;
  EXPECT_EQ(extraction.document.pages.size(), 3U);
  EXPECT_THAT(extraction.message, StartsWith("Only 3 of 4 pages were read: "));
}
#endif

ExtractionRequest RequestFor(const std::string& bytes) {
  // A file without a name, open for reading alone.
  std::FILE* file = std::tmpfile();
  EXPECT_EQ(std::fwrite(bytes.data(), 1, bytes.size(), file), bytes.size());
  std::rewind(file);
  ExtractionRequest request;
  request.bytes = UniqueFd(::fcntl(::fileno(file), F_DUPFD_CLOEXEC, 0));
  std::fclose(file);
  return request;
}

TEST(ExtractionVerdict, AStopRequestEndsItAtOnce) {
  const auto jails = testing::MakeProcessJailMaker("extract", {CARREL_BIN "/carrel-extract"});
  const auto extractor = MakeJailedExtractor(*jails);
  std::stop_source stop;
  ExtractionRequest request = RequestFor(Bomb(9));
  request.stop = stop.get_token();
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    stop.request_stop();
  });
  const absl::Time start = absl::Now();
  EXPECT_EQ(extractor->Extract(std::move(request)).status().code(), absl::StatusCode::kCancelled);
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

TEST(ExtractionVerdict, ProgressComesPageByPage) {
  const auto jails = testing::MakeProcessJailMaker("extract", {CARREL_BIN "/carrel-extract"});
  const auto extractor = MakeJailedExtractor(*jails);
  ExtractionRequest request = RequestFor(PdfOfPages(Pages(30)));
  std::vector<std::pair<uint32_t, uint32_t>> seen;
  request.on_page = [&](uint32_t done, uint32_t pages) { seen.emplace_back(done, pages); };
  ASSERT_TRUE(extractor->Extract(std::move(request)).ok());
  ASSERT_FALSE(seen.empty());
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), std::pair(30U, 30U));
}

// An extractor that is not ours: whatever it says, the call returns with a verdict.
Extraction From(std::vector<std::string> command, absl::Duration wall_max = absl::Seconds(20)) {
  const auto jails = testing::MakeProcessJailMaker("extract", std::move(command));
  const auto extractor = MakeJailedExtractor(*jails);
  ExtractionRequest request = RequestFor("x");
  request.limits.wall_max = wall_max;
  auto extraction = extractor->Extract(std::move(request));
  EXPECT_TRUE(extraction.ok()) << extraction.status();
  return extraction.ok() ? *std::move(extraction) : Extraction{};
}

TEST(HostileExtractor, Nonsense) {
  ExpectFailure(From({"/bin/sh", "-c", "echo no wire format at all"}), Verdict::kCrashed, "cannot be read");
}
TEST(HostileExtractor, EndlessNonsense) {
  ExpectFailure(From({"/bin/sh", "-c", "while :; do echo no wire format at all; done"}), Verdict::kCrashed,
                "cannot be read");
}
TEST(HostileExtractor, SuccessWithoutAVerdict) {
  ExpectFailure(From({"/bin/sh", "-c", "exit 0"}), Verdict::kCrashed, "code 0 and no verdict");
}
TEST(HostileExtractor, DeathBySignal) {
  ExpectFailure(From({"/bin/sh", "-c", "kill -SEGV $$"}), Verdict::kCrashed, "signal 11");
}
TEST(HostileExtractor, Silence) {
  ExpectFailure(From({"/bin/sleep", "1000"}, absl::Milliseconds(300)), Verdict::kLimit, "longer than 300ms");
}
TEST(HostileExtractor, ClosingItsOutputAndLivingOn) {
  const absl::Time start = absl::Now();
  ExpectFailure(From({"/bin/sh", "-c", "exec 1>&-; exec sleep 1000"}), Verdict::kCrashed, "did not end");
  EXPECT_LT(absl::Now() - start, absl::Seconds(30));
}

}  // namespace
}  // namespace carrel::retrieval
