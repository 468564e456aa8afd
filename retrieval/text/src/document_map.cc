// Spans to pages, boxes and headings, and pages to bytes and back.
#include <algorithm>
#include <bit>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "byte_reader.h"
#include "retrieval/document_text.h"
#include "utf8.h"

namespace carrel::retrieval {
namespace {

void Grow(Box& box, const Box& more) {
  box.x_min = std::min(box.x_min, more.x_min);
  box.y_min = std::min(box.y_min, more.y_min);
  box.x_max = std::max(box.x_max, more.x_max);
  box.y_max = std::max(box.y_max, more.y_max);
}

// Words are in the order of their spans, which do not overlap.
std::span<const Word> WordsIn(const Page& page, Span span) {
  const auto begin = std::partition_point(page.words.begin(), page.words.end(),
                                          [&](const Word& word) { return word.span.end <= span.begin; });
  const auto end =
      std::partition_point(begin, page.words.end(), [&](const Word& word) { return word.span.begin < span.end; });
  return {begin, end};
}

}  // namespace

std::vector<PageBox> BoxesOf(std::span<const Page> pages, Span span) {
  std::vector<PageBox> boxes;
  for (const Page& page : pages) {
    bool open = false;
    uint32_t line = 0;
    for (const Word& word : WordsIn(page, span)) {
      if (open && word.line == line) {
        Grow(boxes.back().box, word.box);
        continue;
      }
      boxes.push_back({.page = page.number, .box = word.box});
      line = word.line;
      open = true;
    }
  }
  return boxes;
}

PageRange PagesOf(std::span<const Page> pages, Span span) {
  if (pages.empty()) return {};
  // Pages are in order within the bodies and within the margins, not across.
  const bool in_margins =
      std::any_of(pages.begin(), pages.end(), [&](const Page& page) { return page.margin.Intersects(span); });
  const auto begins = [&](const Page& page) { return in_margins ? page.margin.begin : page.body.begin; };
  const auto page_at = [&](uint32_t offset) {
    size_t found = 0;
    for (size_t low = 0, high = pages.size(); low < high;) {
      const size_t middle = low + (high - low) / 2;
      if (begins(pages[middle]) <= offset) {
        found = middle;
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return found;
  };
  // Of pages that begin at one offset all but the last are empty, so the last is right for what begins there.
  const size_t first = page_at(span.begin);
  const size_t last = span.empty() ? first : page_at(span.end - 1);
  return {.first = first, .last = std::max(first, last)};
}

int HeadingAt(std::span<const Heading> headings, uint32_t offset) {
  const auto after = std::partition_point(headings.begin(), headings.end(),
                                          [&](const Heading& heading) { return heading.span.begin <= offset; });
  return static_cast<int>(after - headings.begin()) - 1;
}

std::string HeadingPath(std::span<const Heading> headings, uint32_t offset) {
  std::vector<const Heading*> path;
  int level = 256;
  for (int i = HeadingAt(headings, offset); i >= 0 && level > 1; --i) {
    const Heading& heading = headings[static_cast<size_t>(i)];
    if (heading.level >= level) continue;
    level = heading.level;
    path.push_back(&heading);
  }
  std::string text;
  for (auto it = path.rbegin(); it != path.rend(); ++it)
    absl::StrAppend(&text, text.empty() ? "" : " > ", (*it)->title);
  return text;
}

// Format 2: u8 2, u8 flags (1: recognised; format 1 has none), then varints: number, label, body, margin; f32 width,
// height; number of words; per word the gap from the word before, its length, the step of the line and the box as
// x_min, width, y_min, height in 1/20 point (x_min and y_min as zig-zag differences from the word before).
namespace {

constexpr uint8_t kPageFormatWithoutFlags = 1;
constexpr uint8_t kPageFormat = 2;
constexpr uint8_t kRecognisedFlag = 1;
constexpr float kUnits = 20;

void PutVar(uint32_t value, std::string& out) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}
uint32_t ZigZag(int32_t value) { return (static_cast<uint32_t>(value) << 1) ^ static_cast<uint32_t>(value >> 31); }
int32_t UnZigZag(uint32_t value) { return static_cast<int32_t>(value >> 1) ^ -static_cast<int32_t>(value & 1); }

void PutF32(float value, std::string& out) {
  const auto bits = std::bit_cast<uint32_t>(value);
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(bits >> shift));
}

// Inwards, but never inside out.
struct UnitRange {
  int32_t begin;
  int32_t end;
};
UnitRange Units(float low, float high) {
  const auto begin = static_cast<int32_t>(std::ceil(low * kUnits));
  const auto end = static_cast<int32_t>(std::floor(high * kUnits));
  if (end >= begin) return {begin, end};
  const auto down = static_cast<int32_t>(std::floor(low * kUnits));
  return {down, down};
}

}  // namespace

std::string EncodePage(const Page& page) {
  std::string out;
  out.reserve(64 + page.words.size() * 10);
  out.push_back(static_cast<char>(kPageFormat));
  out.push_back(static_cast<char>(page.recognised ? kRecognisedFlag : 0));
  PutVar(page.number, out);
  PutVar(static_cast<uint32_t>(page.label.size()), out);
  out += page.label;
  for (const uint32_t offset : {page.body.begin, page.body.size(), page.margin.begin, page.margin.size()}) {
    PutVar(offset, out);
  }
  PutF32(page.width, out);
  PutF32(page.height, out);
  PutVar(static_cast<uint32_t>(page.words.size()), out);
  uint32_t end = page.body.begin;
  uint32_t line = 0;
  UnitRange last_x{0, 0};
  UnitRange last_y{0, 0};
  for (const Word& word : page.words) {
    const UnitRange x = Units(word.box.x_min, word.box.x_max);
    const UnitRange y = Units(word.box.y_min, word.box.y_max);
    PutVar(word.span.begin - end, out);
    PutVar(word.span.size(), out);
    PutVar(word.line - line, out);
    PutVar(ZigZag(x.begin - last_x.end), out);
    PutVar(static_cast<uint32_t>(x.end - x.begin), out);
    PutVar(ZigZag(y.begin - last_y.begin), out);
    PutVar(static_cast<uint32_t>(y.end - y.begin), out);
    end = word.span.end;
    line = word.line;
    last_x = x;
    last_y = y;
  }
  return out;
}

absl::StatusOr<Page> DecodePage(std::string_view bytes) {
  const auto bad = [] { return absl::DataLossError("a stored page cannot be read"); };
  ByteReader in(bytes);
  const uint8_t format = in.U8();
  if (format != kPageFormat && format != kPageFormatWithoutFlags) return bad();
  const uint8_t flags = format == kPageFormat ? in.U8() : 0;
  if ((flags & ~kRecognisedFlag) != 0) return bad();
  Page page;
  page.recognised = (flags & kRecognisedFlag) != 0;
  page.number = in.VarU32();
  page.label = in.Bytes(in.VarU32());
  const auto span = [&] {
    const uint32_t begin = in.VarU32();
    return Span{.begin = begin, .end = begin + in.VarU32()};
  };
  page.body = span();
  page.margin = span();
  page.width = in.F32();
  page.height = in.F32();
  const uint32_t words = in.VarU32();
  constexpr size_t kStoredWordBytesMin = 7;
  if (in.failed() || words > in.left() / kStoredWordBytesMin) return bad();
  page.words.reserve(words);
  uint32_t end = page.body.begin;
  uint32_t line = 0;
  int64_t last_x = 0;
  int64_t last_y = 0;
  for (uint32_t i = 0; i < words; ++i) {
    Word word;
    word.span.begin = end + in.VarU32();
    word.span.end = word.span.begin + in.VarU32();
    word.line = line + in.VarU32();
    const int64_t x = last_x + UnZigZag(in.VarU32());
    const int64_t x_end = x + in.VarU32();
    const int64_t y = last_y + UnZigZag(in.VarU32());
    const int64_t y_end = y + in.VarU32();
    word.box = {.x_min = static_cast<float>(x) / kUnits,
                .y_min = static_cast<float>(y) / kUnits,
                .x_max = static_cast<float>(x_end) / kUnits,
                .y_max = static_cast<float>(y_end) / kUnits};
    const bool within = x >= 0 && y >= 0 && word.box.x_max <= page.width && word.box.y_max <= page.height;
    if (in.failed() || word.span.begin < end || word.span.end < word.span.begin || word.line < line || !within) {
      return bad();
    }
    page.words.push_back(word);
    end = word.span.end;
    line = word.line;
    last_x = x_end;
    last_y = y;
  }
  if (!in.done()) return bad();
  return page;
}

}  // namespace carrel::retrieval
