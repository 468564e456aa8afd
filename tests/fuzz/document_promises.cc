#include "document_promises.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>

#include "fuzzer.h"
#include "retrieval/document_builder.h"
#include "retrieval/passages.h"

namespace carrel::fuzz {
namespace {

using namespace retrieval;  // NOLINT(google-build-using-namespace)

void CheckPage(const Page& page) {
  uint32_t end = page.body.begin;
  for (const Word& word : page.words) {
    FUZZ_CHECK(word.span.begin >= end || page.margin.Contains(word.span));
    FUZZ_CHECK(!word.span.empty());
    end = word.span.end;
    FUZZ_CHECK(word.box.x_min >= 0 && word.box.x_max <= page.width && word.box.x_min <= word.box.x_max);
    FUZZ_CHECK(word.box.y_min >= 0 && word.box.y_max <= page.height && word.box.y_min <= word.box.y_max);
  }
  const auto again = DecodePage(EncodePage(page));
  FUZZ_CHECK(again.ok());
  FUZZ_CHECK(again->number == page.number && again->label == page.label && again->body == page.body);
  FUZZ_CHECK(again->words.size() == page.words.size());
}

void CheckPassages(const ExtractedDocument& document) {
  const auto chunks = Chunk(document, {.max_tokens = 100, .overlap_tokens = 20, .window_tokens = 40},
                            [](std::string_view text) { return static_cast<uint32_t>(text.size() / 4 + 1); });
  FUZZ_CHECK(chunks.ok());
  uint32_t end = 0;
  for (const SubPassage& sub : chunks->sub_passages) {
    FUZZ_CHECK(sub.span.begin >= end && !sub.span.empty() && sub.span.end <= document.body_end);
    end = sub.span.end;
    FUZZ_CHECK(sub.heading >= -1 && sub.heading < static_cast<int>(document.headings.size()));
    const PageRange pages = PagesOf(document.pages, sub.span);
    FUZZ_CHECK(pages.first <= pages.last && pages.last < document.pages.size());
  }
}

}  // namespace

void CheckDocument(RawDocument raw) {
  if (!raw.begun) return;
  const bool paged = wire::ShapeOf(raw.type) == wire::Shape::kPages;
  const ExtractedDocument document = BuildDocument(std::move(raw));
  FUZZ_CHECK(document.body_end <= document.text.size());
  FUZZ_CHECK(FromUtf8(ToUtf8(document.text)).ok());
  FUZZ_CHECK(paged || !document.pages.empty());
  uint32_t number = 0;
  uint32_t end = 0;
  for (const Page& page : document.pages) {
    FUZZ_CHECK(page.number > number);
    number = page.number;
    FUZZ_CHECK(page.body.begin <= page.body.end && page.body.end <= document.body_end && page.body.begin >= end);
    end = page.body.end;
    FUZZ_CHECK(page.margin.begin <= page.margin.end && page.margin.end <= document.text.size());
    CheckPage(page);
  }
  uint32_t at = 0;
  for (const Heading& heading : document.headings) {
    FUZZ_CHECK(heading.span.begin >= at && heading.span.begin <= heading.span.end);
    FUZZ_CHECK(heading.span.end <= document.body_end && heading.level >= 1);
    at = heading.span.begin;
  }
  if (!document.pages.empty()) CheckPassages(document);
}

void CheckReader(const std::function<extract::Verdict(extract::FrameWriter&)>& read) {
  const int fd = ::memfd_create("frames", MFD_CLOEXEC);
  FUZZ_CHECK(fd >= 0);
  extract::FrameWriter out(fd, 64u << 20);
  out.Magic();
  out.WriteVerdict(read(out));
  FrameDecoder decoder({});
  FUZZ_CHECK(::lseek(fd, 0, SEEK_SET) == 0);
  std::string buffer(256u << 10, '\0');
  for (ssize_t got = 0; (got = ::read(fd, buffer.data(), buffer.size())) > 0;) {
    FUZZ_CHECK(decoder.Feed(std::string_view(buffer).substr(0, static_cast<size_t>(got))).ok());
  }
  ::close(fd);
  FUZZ_CHECK(decoder.at_frame_end() && decoder.document().verdict);
  const RawVerdict& verdict = *decoder.document().verdict;
  FUZZ_CHECK(verdict.verdict != wire::ExtractVerdict::kInternal);
  // Every failure is a sentence, or a limit that the server has the words for.
  FUZZ_CHECK(verdict.verdict == wire::ExtractVerdict::kRead || !verdict.sentence.empty() ||
             verdict.limit == wire::ExtractLimit::kPages);
  CheckDocument(decoder.TakeDocument());
}

}  // namespace carrel::fuzz
