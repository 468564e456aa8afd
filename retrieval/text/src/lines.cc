#include "lines.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <utility>

#include "characters.h"
#include "compatibility.h"
#include "reading_order.h"
#include "tables.h"

namespace carrel::retrieval {
namespace {

void GrowExtent(Extent& extent, const Extent& more) {
  extent.u_min = std::min(extent.u_min, more.u_min);
  extent.u_max = std::max(extent.u_max, more.u_max);
  extent.v_min = std::min(extent.v_min, more.v_min);
  extent.v_max = std::max(extent.v_max, more.v_max);
}

// Nothing to see: controls, byte order marks, bidi controls, noncharacters.
bool IsInvisible(char32_t c) {
  if (c < 0x20 || (c >= 0x7F && c < 0xA0)) return true;
  if (c == 0x00AD || c == 0xFEFF || (c >= 0x200B && c <= 0x200F)) return true;
  if ((c >= 0x202A && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F)) return true;
  return (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c <= 0xFDEF);
}

void AppendRepaired(char32_t c, std::u32string& out) {
  if (AppendPlain(c, out) || IsInvisible(c)) return;
  if (IsSpace(c)) {
    // One space for any, none at the start of a word.
    if (!out.empty() && out.back() != U' ') out.push_back(U' ');
  } else {
    out.push_back(c);
  }
}

Direction WordDirection(std::u32string_view word) {
  bool left_to_right = false;
  for (const char32_t c : word) {
    const Direction direction = DirectionOf(c);
    if (direction == Direction::kRightToLeft) return direction;
    left_to_right = left_to_right || direction == Direction::kLeftToRight;
  }
  return left_to_right ? Direction::kLeftToRight : Direction::kNeutral;
}

// Glyphs from left to right to the order of reading: marks stay behind their letters, numbers run left to right, and
// brackets, which are mirrored on the page, are turned back.
std::u32string TurnWord(std::u32string_view glyphs) {
  std::u32string turned;
  turned.reserve(glyphs.size());
  size_t end = glyphs.size();
  while (end > 0) {
    size_t begin = end - 1;
    if (IsDigit(glyphs[begin])) {
      while (begin > 0 && (IsDigit(glyphs[begin - 1]) || (begin > 1 && IsDigit(glyphs[begin - 2]) &&
                                                          (glyphs[begin - 1] == U'.' || glyphs[begin - 1] == U',')))) {
        --begin;
      }
    } else {
      while (begin > 0 && IsMark(glyphs[begin])) --begin;
    }
    for (size_t i = begin; i < end; ++i) {
      turned.push_back(static_cast<char32_t>(u_charMirror(static_cast<UChar32>(glyphs[i]))));
    }
    end = begin;
  }
  return turned;
}

// "Title . . . . . . 12": leaders are dropped, as they say nothing and would fill a passage.
constexpr size_t kLeaderDotsMin = 4;

// The words of one line, in visual order.
class LineBuilder final {
 public:
  explicit LineBuilder(const RawPage& page) : page_(page) {
    Directions all;
    for (const RawWord& word : page.words) all.Count(Chars(word));
    page_right_to_left_ = all.right > all.left;
    last_right_to_left_ = page_right_to_left_;
  }

  [[nodiscard]] bool empty() const { return words_.empty(); }

  [[nodiscard]] bool Takes(const RawWord& next) const {
    const RawWord& last = *words_.back();
    if (next.rotation != last.rotation) return false;
    const Extent a = ExtentOf(last.box, last.rotation);
    const Extent b = ExtentOf(next.box, next.rotation);
    const float em = std::max({last.font_size, next.font_size, 1.0F});
    const float overlap = std::min(base_.v_max, b.v_max) - std::max(base_.v_min, b.v_min);
    if (overlap < 0.4F * std::min(base_.height(), b.height())) return false;
    if (b.u_min < a.u_min - 0.5F * em) return false;
    // Poppler marks the words of one line of its own; without the mark only what touches is one word.
    return last.space_after || b.u_min - a.u_max <= 0.5F * em;
  }

  void Add(const RawWord& word) {
    const Extent extent = ExtentOf(word.box, word.rotation);
    if (words_.empty() || word.font_size > base_font_size_) {
      base_ = extent;
      base_font_size_ = word.font_size;
    }
    words_.push_back(&word);
  }

  // An empty text when there is nothing to see.
  Line Finish() {
    Line line;
    line.had_leaders = DropLeaders();
    line.rotation = words_.front()->rotation;
    line.right_to_left = RightToLeft();
    last_right_to_left_ = line.right_to_left;
    const std::vector<Place> order = LogicalOrder(line.right_to_left);
    for (size_t i = 0; i < order.size(); ++i) {
      const bool space = i > 0 && SpaceBetween(order[i - 1], order[i]);
      Append(order[i].word, space, line);
    }
    while (!line.text.empty() && line.text.back() == U' ') {
      line.text.pop_back();
      line.pieces.back().span.end--;
    }
    Measure(line);
    words_.clear();
    space_owed_ = false;
    return line;
  }

 private:
  [[nodiscard]] bool IsDots(size_t i) const {
    const std::u32string_view chars = CharsOf(i);
    return chars.find_first_not_of(U'.') == std::u32string_view::npos;
  }

  // At least one word stays. Whether there were any.
  bool DropLeaders() {
    std::vector<const RawWord*> kept;
    for (size_t i = 0; i < words_.size();) {
      size_t end = i;
      size_t dots = 0;
      for (; end < words_.size() && IsDots(end); ++end) dots += words_[end]->chars.size();
      if (dots < kLeaderDotsMin) {
        end = std::max(end, i + 1);
        kept.insert(kept.end(), words_.begin() + static_cast<ptrdiff_t>(i),
                    words_.begin() + static_cast<ptrdiff_t>(end));
      }
      i = end;
    }
    const bool dropped = !kept.empty() && kept.size() < words_.size();
    if (!kept.empty()) words_ = std::move(kept);
    return dropped;
  }

  struct Directions {
    size_t right = 0;
    size_t left = 0;
    // Of letters, as what Poppler calls a word may be one.
    void Count(std::u32string_view word) {
      for (const char32_t c : word) {
        const Direction direction = DirectionOf(c);
        right += direction == Direction::kRightToLeft ? 1 : 0;
        left += direction == Direction::kLeftToRight ? 1 : 0;
      }
    }
  };

  [[nodiscard]] std::u32string_view Chars(const RawWord& word) const {
    return std::u32string_view(page_.chars).substr(word.chars.begin, word.chars.size());
  }
  [[nodiscard]] std::u32string_view CharsOf(size_t i) const { return Chars(*words_[i]); }

  // A line of two languages goes with its page, or with the line before if much of it does.
  [[nodiscard]] bool RightToLeft() const {
    Directions here;
    for (const RawWord* word : words_) here.Count(Chars(*word));
    if (here.right > here.left || (here.right > 0 && page_right_to_left_)) return true;
    return last_right_to_left_ && 2 * here.right > here.left;
  }

  struct Place {
    size_t word;
    bool turned;  // within a run against the line's direction
  };

  // Runs of words against the line's direction are turned around within it.
  [[nodiscard]] std::vector<Place> LogicalOrder(bool right_to_left) const {
    std::vector<Place> order(words_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = {right_to_left ? order.size() - 1 - i : i, false};
    const Direction against = right_to_left ? Direction::kLeftToRight : Direction::kRightToLeft;
    for (size_t i = 0; i < order.size();) {
      if (WordDirection(CharsOf(order[i].word)) != against) {
        ++i;
        continue;
      }
      size_t end = i + 1;
      for (size_t j = end; j < order.size(); ++j) {
        const Direction direction = WordDirection(CharsOf(order[j].word));
        if (direction == against) end = j + 1;
        if (direction != against && direction != Direction::kNeutral) break;
      }
      std::reverse(order.begin() + static_cast<ptrdiff_t>(i), order.begin() + static_cast<ptrdiff_t>(end));
      for (size_t j = i; j < end; ++j) order[j].turned = true;
      i = end;
    }
    return order;
  }

  // Between two words that follow each other in reading. Where a turned run begins or ends, they do not on the page:
  // the gap that is seen there is the run's own.
  [[nodiscard]] bool SpaceBetween(const Place& a, const Place& b) const {
    const size_t left = std::min(a.word, b.word);
    const size_t right = std::max(a.word, b.word);
    if (left + 1 == right) return GapAfter(left);
    const bool rising = a.word < b.word;
    const bool leaving = a.turned && !b.turned;
    return GapAfter(leaving == rising ? right - 1 : left);
  }

  // Poppler does not mark every gap that the eye sees.
  [[nodiscard]] bool GapAfter(size_t i) const {
    const RawWord& left = *words_[i];
    const RawWord& right = *words_[i + 1];
    const float gap = ExtentOf(right.box, right.rotation).u_min - ExtentOf(left.box, left.rotation).u_max;
    const float em = std::max(left.font_size, right.font_size);
    // The mark is on the wrong side of right-to-left letters now and then, and behind raised and lowered type.
    const bool doubtful = WordDirection(Chars(left)) == Direction::kRightToLeft ||
                          WordDirection(Chars(right)) == Direction::kRightToLeft ||
                          std::abs(left.font_size - right.font_size) > 0.1F * em;
    if (left.space_after && !(doubtful && gap < 0.06F * em)) return true;
    if (IsUnspaced(Chars(left).back()) && IsUnspaced(Chars(right).front())) return false;
    return gap > 0.2F * em;
  }

  void Append(size_t i, bool space, Line& line) {
    const std::u32string_view chars = CharsOf(i);
    std::u32string text;
    if (WordDirection(chars) == Direction::kRightToLeft) {
      for (const char32_t c : TurnWord(chars)) AppendRepaired(c, text);
    } else {
      for (const char32_t c : chars) AppendRepaired(c, text);
      // A soft hyphen is visible at the end of a line only; there the joining of lines takes it.
      if (i + 1 == words_.size() && !chars.empty() && chars.back() == U'\u00AD') text.push_back(U'\u00AD');
    }
    // A word that vanished leaves its space to the next.
    space_owed_ = space_owed_ || space;
    if (text.empty()) return;
    if (!line.text.empty() && line.text.back() != U' ' && space_owed_) line.text.push_back(U' ');
    space_owed_ = false;
    const auto begin = static_cast<uint32_t>(line.text.size());
    line.text += text;
    line.pieces.push_back({.span = {begin, static_cast<uint32_t>(line.text.size())}, .box = words_[i]->box});
    const Extent extent = ExtentOf(words_[i]->box, line.rotation);
    if (line.pieces.size() == 1) {
      line.extent = extent;
      line.first_word_width = extent.u_max - extent.u_min;
    } else {
      GrowExtent(line.extent, extent);
    }
  }

  void Measure(Line& line) const {
    std::map<int, size_t> by_size;
    size_t bold = 0;
    size_t fixed = 0;
    size_t all = 0;
    for (const RawWord* word : words_) {
      by_size[static_cast<int>(word->font_size * 10)] += word->chars.size();
      bold += word->bold ? word->chars.size() : 0;
      fixed += word->fixed_width ? word->chars.size() : 0;
      all += word->chars.size();
    }
    const auto most =
        std::max_element(by_size.begin(), by_size.end(), [](auto& a, auto& b) { return a.second < b.second; });
    line.font_size = static_cast<float>(most->first) / 10;
    line.bold = bold * 10 >= all * 9;
    line.fixed_width = fixed * 10 >= all * 9;
  }

  const RawPage& page_;
  std::vector<const RawWord*> words_;
  Extent base_;  // of the largest word: what is raised or lowered is measured against it
  float base_font_size_ = 0;
  bool space_owed_ = false;
  bool page_right_to_left_ = false;
  bool last_right_to_left_ = false;
};

// What stands before an item, a heading or a note: a bullet, "12", "2.1", "b)", "(iv)".
bool IsMarker(const Line& line) {
  constexpr size_t kMarkerCharactersMax = 6;
  if (line.text.size() > kMarkerCharactersMax || line.text.find(U' ') != std::u32string::npos) return false;
  if (line.text.size() == 1 && !IsLetter(line.text[0]) && !IsDigit(line.text[0])) return !IsUnspaced(line.text[0]);
  const auto in_number = [](char32_t c) { return IsDigit(c) || c == U'.'; };
  if (IsDigit(line.text[0]) && std::all_of(line.text.begin(), line.text.end(), in_number)) return true;
  const char32_t last = line.text.back();
  return (last == U'.' || last == U')' || last == U']') &&
         (IsLetter(line.text[0]) || IsDigit(line.text[0]) || line.text[0] == U'(' || line.text[0] == U'[');
}

// `line` begins right of the marker, at its height and no farther from it than a mark stands from its item.
bool BelongsTo(const Line& line, const Line& marker) {
  constexpr size_t kCharactersMax = 1'000;  // a line that took that many marks is none
  if (line.text.size() > kCharactersMax) return false;
  if (line.rotation != marker.rotation || line.right_to_left != marker.right_to_left) return false;
  const Extent& a = marker.extent;
  const Extent& b = line.extent;
  const float gap = line.right_to_left ? a.u_min - b.u_max : b.u_min - a.u_max;
  const float overlap = std::min(a.v_max, b.v_max) - std::max(a.v_min, b.v_min);
  return overlap > 0.5F * std::min(a.height(), b.height()) && gap > -0.1F * line.font_size && gap < 3 * line.font_size;
}

void PutBefore(const Line& marker, Line& line) {
  const Extent& a = marker.extent;
  const float gap = line.right_to_left ? a.u_min - line.extent.u_max : line.extent.u_min - a.u_max;
  std::u32string text = marker.text;
  if (gap > 0.2F * line.font_size) text.push_back(U' ');
  const auto shift = static_cast<uint32_t>(text.size());
  std::vector<Line::Piece> pieces = marker.pieces;
  for (Line::Piece piece : line.pieces) {
    piece.span.begin += shift;
    piece.span.end += shift;
    pieces.push_back(piece);
  }
  line.text = text + line.text;
  line.pieces = std::move(pieces);
  line.first_word_width = a.u_max - a.u_min;
  GrowExtent(line.extent, a);
}

// Poppler makes a column of their own of bullets and of the numbers of notes: each goes back to its line, if one of the
// next is it.
std::vector<Line> WithMarkers(std::vector<Line> lines) {
  constexpr size_t kFarthest = 40;  // lines
  std::vector<Line> out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (IsMarker(lines[i])) {
      const size_t end = std::min(lines.size(), i + 1 + kFarthest);
      size_t at = i + 1;
      while (at < end && (IsMarker(lines[at]) || !BelongsTo(lines[at], lines[i]))) ++at;
      if (at < end) {
        PutBefore(lines[i], lines[at]);
        continue;
      }
      // Or one of the few before it.
      const auto before =
          std::find_if(out.rbegin(), out.rbegin() + static_cast<ptrdiff_t>(std::min(out.size(), kFarthest)),
                       [&](const Line& line) { return BelongsTo(line, lines[i]); });
      if (before != out.rbegin() + static_cast<ptrdiff_t>(std::min(out.size(), kFarthest))) {
        PutBefore(lines[i], *before);
        continue;
      }
    }
    out.push_back(std::move(lines[i]));
  }
  return out;
}

}  // namespace

Extent ExtentOf(const Box& box, uint8_t rotation) {
  switch (rotation) {
    case 1:  // reads downwards, lines go to the left
      return {box.y_min, box.y_max, -box.x_max, -box.x_min};
    case 2:
      return {-box.x_max, -box.x_min, -box.y_max, -box.y_min};
    case 3:  // reads upwards, lines go to the right
      return {-box.y_max, -box.y_min, box.x_min, box.x_max};
    default:
      return {box.x_min, box.x_max, box.y_min, box.y_max};
  }
}

std::vector<Line> LinesOf(const RawPage& page) {
  std::vector<Line> lines;
  LineBuilder builder(page);
  const auto finish = [&] {
    if (builder.empty()) return;
    Line line = builder.Finish();
    if (!line.text.empty()) lines.push_back(std::move(line));
  };
  for (const RawWord& word : page.words) {
    if (!builder.empty() && !builder.Takes(word)) finish();
    builder.Add(word);
  }
  finish();
  return InReadingOrder(WithTables(WithMarkers(std::move(lines))));
}

}  // namespace carrel::retrieval
