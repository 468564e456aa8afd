#include "retrieval/passages.h"

#include <algorithm>
#include <string>

#include "absl/status/status.h"
#include "characters.h"
#include "sentences.h"

namespace carrel::retrieval {
namespace {

constexpr uint32_t kTokensMin = 16;
// A line of more is looked at by its sentences at once; 512 tokens of the longest words are fewer characters.
constexpr uint32_t kLineCharsMax = 16'384;

// A sentence, or a part of one that is too long for a sub-passage.
struct Unit {
  Span span;
  uint32_t tokens;
};

class Chunker final {
 public:
  Chunker(const ExtractedDocument& document, const ChunkingOptions& options, const TokenCounter& count_tokens)
      : document_(document), options_(options), count_tokens_(count_tokens) {
    tokens_max_ = std::min(options.window_tokens, options.max_tokens);
    // As many equal parts as a passage needs, so that passages fill and overlaps fit.
    const uint32_t parts = (options.max_tokens + tokens_max_ - 1) / tokens_max_;
    tokens_aim_ = std::max(kTokensMin, options.max_tokens / parts);
    // Neighbours share whole sub-passages, so one must fit the overlap; but below some size a vector means little.
    constexpr uint32_t kSharedMin = 64;
    if (options.overlap_tokens >= kSharedMin) tokens_aim_ = std::min(tokens_aim_, options.overlap_tokens);
  }

  Chunks Run() {
    const auto& headings = document_.headings;
    uint32_t begin = 0;
    for (size_t i = 0; i < headings.size(); ++i) {
      const uint32_t at = std::min(headings[i].span.begin, document_.body_end);
      // A heading right below a heading: both belong to what follows.
      if (i > 0 && !HasTextBetween(headings[i - 1].span.end, at)) continue;
      AddSection({begin, at});
      begin = std::max(begin, at);
    }
    AddSection({begin, document_.body_end});
    MakePassages();
    return std::move(chunks_);
  }

 private:
  [[nodiscard]] bool HasTextBetween(uint32_t begin, uint32_t end) const {
    for (uint32_t i = begin; i < end; ++i) {
      if (!IsSpace(document_.text[i])) return true;
    }
    return false;
  }

  [[nodiscard]] uint32_t Count(Span span) const {
    return count_tokens_(ToUtf8(std::u32string_view(document_.text).substr(span.begin, span.size())));
  }

  void AddSection(Span section) {
    if (section.empty()) return;
    std::vector<Unit> units;
    if (document_.by_line) {
      AddLines(section, units);
    } else {
      for (const Span& sentence : splitter_.Split(document_.text, section)) AddUnits(sentence, units);
    }
    const size_t first = chunks_.sub_passages.size();
    size_t begin = 0;
    while (begin < units.size()) {
      uint32_t tokens = units[begin].tokens;
      size_t end = begin + 1;
      while (end < units.size() && tokens + units[end].tokens <= tokens_aim_) tokens += units[end++].tokens;
      AddSub({units[begin].span.begin, units[end - 1].span.end}, tokens, first);
      begin = end;
    }
  }

  void AddSub(Span span, uint32_t tokens, size_t first_of_section) {
    std::vector<SubPassage>& subs = chunks_.sub_passages;
    // A short rest joins what stands before it, if both fit.
    if (subs.size() > first_of_section && tokens < tokens_aim_ / 4 && subs.back().tokens + tokens <= tokens_max_) {
      subs.back().span.end = span.end;
      subs.back().tokens += tokens;
      return;
    }
    subs.push_back({.span = span, .tokens = tokens, .heading = HeadingOf(span)});
  }

  // The last heading that stands at its beginning, or before it.
  [[nodiscard]] int HeadingOf(Span span) const {
    int heading = HeadingAt(document_.headings, span.begin);
    const auto count = static_cast<int>(document_.headings.size());
    uint32_t end = heading >= 0 ? document_.headings[static_cast<size_t>(heading)].span.end : span.begin;
    while (heading + 1 < count) {
      const Span next = document_.headings[static_cast<size_t>(heading + 1)].span;
      if (next.begin >= span.end || HasTextBetween(std::max(end, span.begin), next.begin)) break;
      end = next.end;
      ++heading;
    }
    return heading;
  }

  // A row or a line of code stays whole if it fits; else its sentences, if it has some.
  void AddLines(Span section, std::vector<Unit>& units) {
    const std::u32string& text = document_.text;
    for (uint32_t begin = section.begin; begin < section.end;) {
      const uint32_t end = static_cast<uint32_t>(std::min<size_t>(text.find(U'\n', begin), section.end));
      const Span line = Trimmed({begin, end});
      begin = end + 1;
      if (line.empty()) continue;
      // No token is shorter than a character, so most lines that are too long need not be counted.
      const uint32_t tokens = line.size() > kLineCharsMax ? tokens_aim_ + 1 : Count(line);
      if (tokens <= tokens_aim_) {
        units.push_back({.span = line, .tokens = tokens});
        continue;
      }
      for (const Span& sentence : splitter_.Split(text, line)) AddUnits(sentence, units);
    }
  }

  void AddUnits(Span span, std::vector<Unit>& units) {
    if (span.empty()) return;
    const uint32_t tokens = Count(span);
    if (tokens <= tokens_aim_ || span.size() == 1) {
      units.push_back({.span = span, .tokens = tokens});
      return;
    }
    const uint32_t middle = BreakNearMiddle(span);
    AddUnits(Trimmed({span.begin, middle}), units);
    AddUnits(Trimmed({middle, span.end}), units);
  }

  [[nodiscard]] Span Trimmed(Span span) const {
    while (span.begin < span.end && IsSpace(document_.text[span.begin])) ++span.begin;
    while (span.begin < span.end && IsSpace(document_.text[span.end - 1])) --span.end;
    return span;
  }

  // Where a sentence that is too long is cut: at a line's end, else after a clause, else between words, else anywhere;
  // of each the nearest to the middle, if it is in the middle half. Both sides are shorter than the whole.
  [[nodiscard]] uint32_t BreakNearMiddle(Span span) const {
    const uint32_t middle = span.begin + span.size() / 2;
    const uint32_t reach = std::max<uint32_t>(1, span.size() / 4);
    const auto nearest = [&](auto is_break) -> uint32_t {
      for (uint32_t step = 0; step < reach; ++step) {
        if (middle + step < span.end && is_break(middle + step)) return middle + step;
        if (middle - step > span.begin && is_break(middle - step)) return middle - step;
      }
      return 0;
    };
    const std::u32string& text = document_.text;
    if (const uint32_t at = nearest([&](uint32_t i) { return text[i] == U'\n'; })) return at;
    const auto after_clause = [&](uint32_t i) {
      const char32_t before = text[i - 1];
      if (before == U'\u3001' || before == U'\uFF0C' || before == U'\uFF1B') return true;
      return IsSpace(text[i]) && (before == U',' || before == U';' || before == U':');
    };
    if (const uint32_t at = nearest(after_clause)) return at;
    if (const uint32_t at = nearest([&](uint32_t i) { return IsSpace(text[i]); })) return at;
    if (const uint32_t at = nearest([&](uint32_t i) { return !IsMark(text[i]); })) return at;
    return std::max(span.begin + 1, middle);
  }

  void MakePassages() {
    const std::vector<SubPassage>& subs = chunks_.sub_passages;
    size_t begin = 0;
    while (begin < subs.size()) {
      uint32_t tokens = subs[begin].tokens;
      size_t end = begin + 1;
      while (end < subs.size() && tokens + subs[end].tokens <= options_.max_tokens) tokens += subs[end++].tokens;
      chunks_.passages.push_back({.span = {subs[begin].span.begin, subs[end - 1].span.end},
                                  .tokens = tokens,
                                  .first_sub = static_cast<uint32_t>(begin),
                                  .last_sub = static_cast<uint32_t>(end),
                                  .heading = subs[begin].heading});
      if (end == subs.size()) break;
      size_t next = end;
      uint32_t shared = 0;
      while (next > begin + 1 && shared + subs[next - 1].tokens <= options_.overlap_tokens) {
        shared += subs[--next].tokens;
      }
      begin = next;
    }
  }

  const ExtractedDocument& document_;
  const ChunkingOptions& options_;
  const TokenCounter& count_tokens_;
  SentenceSplitter splitter_;
  uint32_t tokens_max_;
  uint32_t tokens_aim_;
  Chunks chunks_;
};

}  // namespace

absl::StatusOr<Chunks> Chunk(const ExtractedDocument& document, const ChunkingOptions& options,
                             const TokenCounter& count_tokens) {
  if (options.max_tokens < kTokensMin || options.window_tokens < kTokensMin) {
    return absl::InvalidArgumentError("passages and the model's window take at least 16 tokens");
  }
  if (options.overlap_tokens > options.max_tokens / 2) {
    return absl::InvalidArgumentError("passages overlap by at most half of their size");
  }
  return Chunker(document, options, count_tokens).Run();
}

uint32_t EnclosingPassage(const Chunks& chunks, uint32_t sub) {
  const auto first = std::partition_point(chunks.passages.begin(), chunks.passages.end(),
                                          [&](const Passage& passage) { return passage.last_sub <= sub; });
  auto best = first;
  uint32_t best_margin = 0;
  for (auto passage = first; passage != chunks.passages.end() && passage->first_sub <= sub; ++passage) {
    const uint32_t margin = 1 + std::min(sub - passage->first_sub, passage->last_sub - 1 - sub);
    if (margin > best_margin) {
      best = passage;
      best_margin = margin;
    }
  }
  return static_cast<uint32_t>(best - chunks.passages.begin());
}

}  // namespace carrel::retrieval
