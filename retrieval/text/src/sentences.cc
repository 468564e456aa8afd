#include "sentences.h"

#include <unicode/locid.h>
#include <unicode/unistr.h>
#include <unicode/utf16.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "characters.h"
#include "retrieval/passages.h"

namespace carrel::retrieval {
namespace {

// What ICU is given at once; it counts in int32_t, and a paragraph of a million characters is no prose.
constexpr uint32_t kParagraphMax = 1u << 20;

Span Trimmed(std::u32string_view text, Span span) {
  while (span.begin < span.end && IsSpace(text[span.begin])) ++span.begin;
  while (span.begin < span.end && IsSpace(text[span.end - 1])) --span.end;
  return span;
}

void AddTrimmed(std::u32string_view text, Span span, std::vector<Span>& out) {
  span = Trimmed(text, span);
  if (!span.empty()) out.push_back(span);
}

// A full stop that ends no sentence: after an initial ("John M. Chambers"), a list's number ("3. Then"), or a word that
// is always abbreviated before what it belongs to. (What follows in lower case is not broken off by ICU.)
bool EndsOpen(std::u32string_view sentence) {
  static constexpr std::u32string_view kOpen[] = {U"al",  U"approx", U"art",  U"ch",  U"cf",   U"co",  U"dr",  U"ed",
                                                  U"eds", U"eq",     U"eqs",  U"fig", U"figs", U"mr",  U"mrs", U"ms",
                                                  U"no",  U"nos",    U"prof", U"ref", U"refs", U"sec", U"st",  U"vol",
                                                  U"vs",  U"e.g",    U"i.e",  U"p",   U"pp"};
  if (sentence.size() < 2 || sentence.back() != U'.') return false;
  sentence.remove_suffix(1);
  size_t begin = sentence.size();
  while (begin > 0 && !IsSpace(sentence[begin - 1]) && sentence[begin - 1] != U'(') --begin;
  const std::u32string_view word = sentence.substr(begin);
  if (word.size() == 1 && IsUpper(word.front())) return true;
  if (begin == 0 && word.size() <= 3 && std::all_of(word.begin(), word.end(), [](char32_t c) { return IsDigit(c); })) {
    return true;
  }
  std::u32string lowered(word);
  for (char32_t& c : lowered) c = Lower(c);
  return std::find(std::begin(kOpen), std::end(kOpen), lowered) != std::end(kOpen);
}

// The end of the paragraph that begins at `begin`: a line with nothing on it, or a form feed.
uint32_t ParagraphEnd(std::u32string_view text, uint32_t begin, uint32_t end) {
  for (uint32_t i = begin; i < end; ++i) {
    if (text[i] == U'\f' || text[i] == U'\u2029') return i + 1;
    if (text[i] != U'\n') continue;
    uint32_t next = i + 1;
    while (next < end && (text[next] == U' ' || text[next] == U'\t')) ++next;
    if (next < end && text[next] == U'\n') return next + 1;
  }
  return end;
}

}  // namespace

SentenceSplitter::SentenceSplitter() {
  UErrorCode error = U_ZERO_ERROR;
  breaks_.reset(icu::BreakIterator::createSentenceInstance(icu::Locale::getEnglish(), error));
  if (U_FAILURE(error) != 0 || breaks_ == nullptr) {
    std::fprintf(stderr, "ICU has no sentence rules: %s\n", u_errorName(error));
    std::abort();
  }
}

std::vector<Span> SentenceSplitter::Split(std::u32string_view text, Span span) {
  std::vector<Span> out;
  span.end = static_cast<uint32_t>(std::min<size_t>(span.end, text.size()));
  for (uint32_t begin = span.begin; begin < span.end;) {
    const uint32_t end = std::min(ParagraphEnd(text, begin, span.end), begin + kParagraphMax);
    SplitParagraph(text, {begin, end}, out);
    begin = end;
  }
  return out;
}

void SentenceSplitter::SplitParagraph(std::u32string_view text, Span span, std::vector<Span>& out) {
  icu::UnicodeString units;
  units.getBuffer(static_cast<int32_t>(span.size() * 2));
  units.releaseBuffer(0);
  for (uint32_t i = span.begin; i < span.end; ++i) {
    // ICU's rules end a sentence at every line break; the text's lines are the typesetter's.
    units.append(text[i] == U'\n' ? UChar32{U' '} : static_cast<UChar32>(text[i]));
  }
  breaks_->setText(units);
  uint32_t at = span.begin;
  int32_t unit = 0;
  uint32_t begin = span.begin;
  breaks_->first();
  for (int32_t end = breaks_->next(); end != icu::BreakIterator::DONE; end = breaks_->next()) {
    while (unit < end) unit += U16_LENGTH(static_cast<UChar32>(text[at++]));
    const Span sentence = Trimmed(text, {begin, at});
    if (EndsOpen(text.substr(sentence.begin, sentence.size()))) continue;
    AddTrimmed(text, sentence, out);
    begin = at;
  }
  AddTrimmed(text, {begin, span.end}, out);
}

std::vector<Span> Sentences(std::u32string_view text, Span span) { return SentenceSplitter().Split(text, span); }

}  // namespace carrel::retrieval
