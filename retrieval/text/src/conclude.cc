#include "conclude.h"

#include <algorithm>
#include <csignal>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "characters.h"
#include "page_list.h"
#include "retrieval/document_builder.h"

namespace carrel::retrieval {
namespace {

using wire::ExtractLimit;
using wire::ExtractVerdict;

// A sentence that the extractor wrote, as far as it may be shown: one line, nothing that moves a cursor.
std::string Printable(std::string_view sentence) {
  std::string out;
  for (const char c : sentence) {
    const auto byte = static_cast<unsigned char>(c);
    out.push_back(byte < 0x20 || byte == 0x7F ? ' ' : c);
  }
  return out;
}

std::string Bytes(uint64_t bytes) {
  return bytes >= (1u << 20) ? absl::StrCat(bytes >> 20, " MiB") : absl::StrCat(bytes, " bytes");
}

// What stopped the reading, as a clause: "...: <clause>."
struct Stop {
  bool limit = false;  // else a crash
  std::string clause;
};

// What the pages of such a document are called.
const char* Pages(wire::DocumentType type) {
  if (type == wire::DocumentType::kPptx) return "slides";
  return type == wire::DocumentType::kXlsx ? "sheets" : "pages";
}

Stop LimitClause(const RawVerdict& verdict, const ExtractionLimits& limits,
                 wire::DocumentType type = wire::DocumentType::kPdf) {
  switch (verdict.limit) {
    case ExtractLimit::kPages:
      return {true, absl::StrCat("at most ", limits.pages_max, " ", Pages(type), " of a document are read")};
    case ExtractLimit::kWords:
      return {true, absl::StrCat("at most ", limits.words_per_page_max, " words of a page are read, and page ",
                                 verdict.detail, " has more")};
    case ExtractLimit::kOutput:
      return {true, absl::StrCat("its text with its layout takes more than ", Bytes(limits.output_bytes_max))};
    case ExtractLimit::kInput:
      return {true, absl::StrCat("it is larger than ", Bytes(limits.document_bytes_max))};
    case ExtractLimit::kMemory:
      return {true, absl::StrCat("reading it takes more than ", Bytes(limits.memory_bytes_max), " of memory")};
    case ExtractLimit::kCpu:
      return {true, absl::StrCat("reading it takes more than ", limits.cpu_seconds_max, " s of processor time")};
    case ExtractLimit::kShape:
      if (!verdict.sentence.empty()) return {true, Printable(verdict.sentence)};
      break;
    case ExtractLimit::kPixels:
    case ExtractLimit::kNone:
      break;
  }
  return {true, "a limit was reached"};
}

// The extractor ended without a verdict.
Stop EndClause(const ExtractorEnd& end, const ExtractionLimits& limits) {
  if (end.time_limit)
    return {true, absl::StrCat("reading it takes longer than ", absl::FormatDuration(limits.wall_max))};
  if (!end.wire.ok()) return {false, "the extractor sent what cannot be read"};
  if (!end.exit) return {false, "the extractor did not end"};
  if (end.exit->memory_limit) return LimitClause({.limit = ExtractLimit::kMemory}, limits);
  if (end.exit->signal == SIGXCPU) return LimitClause({.limit = ExtractLimit::kCpu}, limits);
  if (end.exit->signal != 0) return {false, absl::StrCat("the extractor died of signal ", end.exit->signal)};
  return {false, absl::StrCat("the extractor ended with code ", end.exit->exit_code, " and no verdict")};
}

bool HasText(const ExtractedDocument& document) {
  const auto end = document.text.begin() + document.body_end;
  return std::any_of(document.text.begin(), end, [](char32_t c) { return !IsSpace(c); });
}

void AddSentence(std::string sentence, std::string& message) {
  if (sentence.empty()) return;
  if (sentence[0] == 'p') sentence[0] = 'P';
  absl::StrAppend(&message, message.empty() ? "" : " ", sentence);
}

// What the pages without text are to be called, besides what is seen of them in the document.
struct Recognised {
  bool tried = false;
  std::string failures;          // sentences
  std::vector<uint32_t> unread;  // pages, rising
};

// What character recognition could not do, of a document of which it was asked; and pages that nobody can read.
Recognised RecognitionOf(const RawDocument& raw) {
  std::string sentence;
  if (!raw.recognition_failure.empty()) {
    absl::StrAppend(&sentence, "Character recognition failed on ", Printable(raw.recognition_failure), ".");
  }
  if (raw.not_recognised > 0) {
    absl::StrAppend(&sentence, sentence.empty() ? "" : " ", "Character recognition did not come to ",
                    raw.not_recognised, " more pages without text.");
  }
  std::vector<uint32_t> unread;
  for (const RawPage& page : raw.pages) {
    if (page.unread && page.words.empty()) unread.push_back(page.number);
  }
  return {raw.recognition_tried, std::move(sentence), std::move(unread)};
}

// The pages of a document with text that have none (blank, or scans), and those whose text is not the document's own.
void AddPagesApart(const ExtractedDocument& document, const Recognised& recognition, std::string& message) {
  std::vector<uint32_t> empty;
  std::vector<uint32_t> recognised;
  for (const Page& page : document.pages) {
    const bool unread = std::binary_search(recognition.unread.begin(), recognition.unread.end(), page.number);
    if (page.width > 0 && page.words.empty() && !unread) empty.push_back(page.number);
    if (page.recognised) recognised.push_back(page.number);
  }
  if (!recognised.empty()) {
    AddSentence(absl::StrCat(PageList(recognised), recognised.size() == 1 ? " was" : " were",
                             " read by character recognition, which errs now and then."),
                message);
  }
  if (!empty.empty()) {
    AddSentence(absl::StrCat(PageList(empty), empty.size() == 1 ? " has" : " have", " no text: blank, or a picture",
                             recognition.tried ? " in which character recognition found none."
                                               : " of text, which needs character recognition."),
                message);
  }
  if (const auto& unread = recognition.unread; !unread.empty()) {
    AddSentence(
        absl::StrCat(PageList(unread), unread.size() == 1 ? " is" : " are", " compressed in a way that is not read."),
        message);
  }
  AddSentence(recognition.failures, message);
}

// Stopped before the end: what was read counts, if there is any.
Extraction Stopped(RawDocument raw, const Stop& stop) {
  Extraction result;
  result.pages = raw.pages_in_all;
  const size_t pages_read = raw.pages.size() + raw.parts.size();
  const char* const pages = Pages(raw.type);
  const uint32_t page_begun = raw.page_begun;
  const Recognised recognition = RecognitionOf(raw);
  result.document = BuildDocument(std::move(raw));
  if (HasText(result.document)) {
    result.verdict = Verdict::kPartial;
    result.message =
        result.pages > 0 && pages_read < result.pages
            ? absl::StrCat("Only ", pages_read, " of ", result.pages, " ", pages, " were read: ", stop.clause, ".")
            : absl::StrCat("Not all of it was read: ", stop.clause, ".");
    AddPagesApart(result.document, recognition, result.message);
    return result;
  }
  result.document = {};
  result.verdict = stop.limit ? Verdict::kLimit : Verdict::kCrashed;
  result.message = absl::StrCat("It was not read: ", stop.clause,
                                page_begun > 0 ? absl::StrCat(" (at page ", page_begun, ")") : "", ".");
  return result;
}

std::pair<Verdict, std::string> WithoutText(wire::DocumentType type, bool recognition_tried) {
  switch (type) {
    case wire::DocumentType::kPdf:
      return {Verdict::kNoText, recognition_tried
                                    ? "The PDF has pages but no text on them, and character recognition found none."
                                    : "The PDF has pages but no text on them; scans need character recognition first."};
    case wire::DocumentType::kPptx:
      return {Verdict::kNoText, "The presentation has slides but no text on them."};
    default:
      return {Verdict::kEmpty, "It holds no text."};
  }
}

Extraction Whole(RawDocument raw) {
  Extraction result;
  result.pages = raw.pages_in_all;
  const wire::DocumentType type = raw.type;
  const bool paged = type == wire::DocumentType::kPdf || wire::HasParts(type);
  const size_t pages_read = raw.pages.size() + raw.parts.size();
  const Recognised recognition = RecognitionOf(raw);
  result.document = BuildDocument(std::move(raw));
  if (!paged) result.pages = 1;
  if (!HasText(result.document)) {
    result.document = {};
    std::tie(result.verdict, result.message) = WithoutText(type, recognition.tried);
    AddSentence(recognition.failures, result.message);
    return result;
  }
  result.verdict = Verdict::kRead;
  if (paged && pages_read < result.pages) {
    result.verdict = Verdict::kPartial;
    result.message = absl::StrCat(result.pages - pages_read, " of ", result.pages, " ", Pages(type),
                                  " are damaged and were left out.");
  }
  AddPagesApart(result.document, recognition, result.message);
  return result;
}

Verdict VerdictOf(ExtractVerdict verdict) {
  switch (verdict) {
    case ExtractVerdict::kRead:
      return Verdict::kRead;
    case ExtractVerdict::kEncrypted:
      return Verdict::kEncrypted;
    case ExtractVerdict::kDamaged:
      return Verdict::kDamaged;
    case ExtractVerdict::kEmpty:
      return Verdict::kEmpty;
    case ExtractVerdict::kNoText:
      return Verdict::kNoText;
    case ExtractVerdict::kUnsupported:
      return Verdict::kUnsupported;
    case ExtractVerdict::kLimit:
      return Verdict::kLimit;
    case ExtractVerdict::kInternal:
      break;
  }
  return Verdict::kInternal;
}

}  // namespace

Extraction Conclude(RawDocument raw, const ExtractorEnd& end, const ExtractionLimits& limits) {
  if (!raw.verdict || !end.wire.ok()) return Stopped(std::move(raw), EndClause(end, limits));
  const RawVerdict verdict = *raw.verdict;
  if (verdict.verdict == ExtractVerdict::kLimit) return Stopped(std::move(raw), LimitClause(verdict, limits, raw.type));
  const bool recognised = verdict.verdict == ExtractVerdict::kNoText && raw.recognition_tried;
  if ((verdict.verdict == ExtractVerdict::kRead || recognised) && raw.begun) return Whole(std::move(raw));
  Extraction result;
  result.pages = raw.pages_in_all;
  result.verdict = verdict.verdict == ExtractVerdict::kRead ? Verdict::kInternal : VerdictOf(verdict.verdict);
  result.message = verdict.sentence.empty() ? "The extractor gave no reason." : Printable(verdict.sentence);
  return result;
}

}  // namespace carrel::retrieval
