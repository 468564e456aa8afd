#include "joins.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "characters.h"

namespace carrel::retrieval {
namespace {

// Letters at the end of `text`, before its last character (the hyphen).
std::u32string_view WordBeforeHyphen(std::u32string_view text) {
  text.remove_suffix(1);
  size_t begin = text.size();
  while (begin > 0 && IsLetter(text[begin - 1])) --begin;
  return text.substr(begin);
}

std::u32string_view FirstWord(std::u32string_view text) {
  size_t end = 0;
  while (end < text.size() && IsLetter(text[end])) ++end;
  return text.substr(0, end);
}

std::u32string Lowered(std::u32string_view text) {
  std::u32string out(text);
  for (char32_t& c : out) c = Lower(c);
  return out;
}

bool EndsWithHyphen(const Line& line) {
  return line.text.size() >= 2 && IsHyphen(line.text.back()) && IsLetter(line.text[line.text.size() - 2]);
}

bool EndsSentence(const Line& line) {
  for (auto it = line.text.rbegin(); it != line.text.rend(); ++it) {
    if (IsTerminal(*it)) return true;
    if (!IsCloser(*it)) return false;
  }
  return false;
}

bool IsListItem(const Line& line) {
  const std::u32string_view text = line.text;
  static constexpr std::u32string_view kBullets = U"\u2022\u2023\u25E6\u2043\u25AA\u25CF\u25CB\u25A0\u2013\u2014*";
  if (text.size() < 2) return false;
  if (kBullets.find(text[0]) != std::u32string_view::npos && (text[1] == U' ')) return true;
  // "1. ", "12) ", "(a) ", "[3] "
  size_t at = text[0] == U'(' || text[0] == U'[' ? 1 : 0;
  const size_t begin = at;
  while (at < text.size() && at - begin < 3 && IsDigit(text[at])) ++at;
  if (at == begin && at < text.size() && IsLetter(text[at])) ++at;
  if (at == begin || at + 1 >= text.size()) return false;
  const bool closed = text[at] == U')' || text[at] == U']' || (begin == 0 && text[at] == U'.' && IsDigit(text[at - 1]));
  return closed && text[at + 1] == U' ';
}

bool SameStyle(const Line& a, const Line& b) {
  const float larger = std::max(a.font_size, b.font_size);
  return a.rotation == b.rotation && std::abs(a.font_size - b.font_size) <= 0.12F * larger;
}

// The line stops before its column does, though the next line's first word would have had room.
bool EndsEarly(const Line& line, float column_end, const Line& next) {
  const float room = line.right_to_left ? line.extent.u_min - column_end : column_end - line.extent.u_max;
  return room > next.first_word_width + 0.4F * line.font_size;
}

// The size of most of a page's characters; 0: there are none.
float MostUsedSize(const std::vector<const Line*>& body) {
  std::map<int, size_t> characters;
  for (const Line* line : body) characters[static_cast<int>(line->font_size * 10)] += line->text.size();
  const auto most = std::max_element(characters.begin(), characters.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == characters.end() ? 0 : static_cast<float>(most->first) / 10;
}

// A heading over two lines, whose leading is that of its own larger type.
bool GoesOnAsHeading(const Line& line, const Line& next, float step, const PageMetrics& metrics) {
  return metrics.font_size > 0 && line.font_size >= 1.15F * metrics.font_size && step < 1.7F * line.font_size &&
         !EndsSentence(line) && !IsListItem(next);
}

// Cells of one row of a table.
bool StandBeside(const Line& line, const Line& next) {
  if (line.rotation != next.rotation || line.right_to_left != next.right_to_left) return false;
  const Extent& a = line.extent;
  const Extent& b = next.extent;
  const float overlap = std::min(a.v_max, b.v_max) - std::max(a.v_min, b.v_min);
  const bool onwards = line.right_to_left ? b.u_max <= a.u_min : b.u_min >= a.u_max;
  return onwards && overlap > 0.7F * std::max(a.height(), b.height());
}

// Within a paragraph.
Join JoinInside(const Line& line, const Line& next, const Vocabulary& vocabulary) {
  if (EndsWithHyphen(line) && !FirstWord(next.text).empty()) return vocabulary.JoinHyphenated(line.text, next.text);
  if (IsHyphen(line.text.back()) && IsDigit(next.text.front())) return Join::kNone;
  if (IsUnspaced(line.text.back()) && IsUnspaced(next.text.front())) return Join::kNone;
  return Join::kSpace;
}

}  // namespace

void Vocabulary::Add(const Line& line) {
  std::u32string word;
  bool broken = false;  // goes on in the next line
  const auto close = [&] {
    while (!word.empty() && IsHyphen(word.back())) word.pop_back();
    if (word.size() > 1 && !broken) words_.insert(word);
    word.clear();
  };
  for (const char32_t c : line.text) {
    if (IsLetter(c)) {
      word.push_back(Lower(c));
    } else if (IsHyphen(c) && !word.empty()) {
      word.push_back(U'-');
    } else {
      close();
    }
  }
  broken = EndsWithHyphen(line);
  close();
}

Join Vocabulary::JoinHyphenated(std::u32string_view left, std::u32string_view right) const {
  if (left.back() == U'\u00AD') return Join::kWord;
  // "Anglo-/Saxon": a capital does not come within a word.
  if (!IsLower(right.front()))
    return IsUpper(right.front()) && IsUpper(left[left.size() - 2]) ? Join::kWord : Join::kNone;
  const std::u32string head = Lowered(WordBeforeHyphen(left));
  const std::u32string tail = Lowered(FirstWord(right));
  if (words_.contains(head + tail)) return Join::kWord;
  return words_.contains(head + U"-" + tail) ? Join::kNone : Join::kWord;
}

PageMetrics MeasurePage(const std::vector<const Line*>& body) {
  std::vector<float> steps;
  for (size_t i = 1; i < body.size(); ++i) {
    const Line& a = *body[i - 1];
    const Line& b = *body[i];
    const float step = b.extent.v_max - a.extent.v_max;
    if (SameStyle(a, b) && step > 0.3F * a.font_size && step < 3 * a.font_size) steps.push_back(step);
  }
  PageMetrics metrics{.font_size = MostUsedSize(body)};
  if (steps.empty()) return metrics;
  // Closer to the tighter half: paragraphs of one line would else set the measure.
  const auto middle = steps.begin() + static_cast<ptrdiff_t>(steps.size() * 2 / 5);
  std::nth_element(steps.begin(), middle, steps.end());
  metrics.leading = *middle;
  return metrics;
}

std::vector<float> ColumnEnds(const std::vector<const Line*>& body) {
  std::vector<float> ends(body.size());
  size_t begin = 0;
  while (begin < body.size()) {
    const Line& first = *body[begin];
    float u_min = first.extent.u_min;
    float u_max = first.extent.u_max;
    size_t end = begin + 1;
    // A block goes on while lines follow downwards and share most of their width with it.
    for (; end < body.size(); ++end) {
      const Line& line = *body[end];
      if (line.rotation != first.rotation || line.extent.v_max < body[end - 1]->extent.v_min) break;
      // A title over several columns is none of them.
      const float sizes[] = {line.font_size, body[end - 1]->font_size};
      if (std::max(sizes[0], sizes[1]) > 1.3F * std::min(sizes[0], sizes[1])) break;
      const float shared = std::min(u_max, line.extent.u_max) - std::max(u_min, line.extent.u_min);
      if (shared < 0.5F * std::min(u_max - u_min, line.extent.u_max - line.extent.u_min)) break;
      u_min = std::min(u_min, line.extent.u_min);
      u_max = std::max(u_max, line.extent.u_max);
    }
    for (size_t i = begin; i < end; ++i) ends[i] = body[i]->right_to_left ? u_min : u_max;
    begin = end;
  }
  return ends;
}

Join JoinOf(const Line& line, float column_end, const Line& next, const PageMetrics& metrics,
            const Vocabulary& vocabulary) {
  if (StandBeside(line, next)) return Join::kSpace;
  if (!SameStyle(line, next) || line.bold != next.bold) return Join::kParagraph;
  const float step = next.extent.v_max - line.extent.v_max;
  // Upwards, or beside it: another column or another block.
  if (step < -0.5F * line.font_size) return JoinOverPages(line, column_end, next, vocabulary);
  const float leading = metrics.leading > 0 ? metrics.leading : 1.2F * line.font_size;
  if (step > 1.35F * leading) {
    return GoesOnAsHeading(line, next, step, metrics) ? JoinInside(line, next, vocabulary) : Join::kParagraph;
  }
  if (IsListItem(next) || line.had_leaders) return Join::kLineBreak;
  const bool ended = EndsSentence(line);
  const float indent =
      line.right_to_left ? line.extent.u_max - next.extent.u_max : next.extent.u_min - line.extent.u_min;
  if (ended && indent > 0.8F * line.font_size && !IsListItem(line)) return Join::kParagraph;
  if (EndsEarly(line, column_end, next) && !IsHyphen(line.text.back()))
    return ended ? Join::kParagraph : Join::kLineBreak;
  if (line.fixed_width && next.fixed_width) return Join::kLineBreak;
  return JoinInside(line, next, vocabulary);
}

Join JoinOverPages(const Line& line, float column_end, const Line& next, const Vocabulary& vocabulary) {
  if (!SameStyle(line, next) || line.bold != next.bold || IsListItem(next)) return Join::kParagraph;
  if (EndsSentence(line)) return Join::kParagraph;
  const char32_t first = next.text.front();
  const bool goes_on = IsLower(first) || EndsWithHyphen(line) || !EndsEarly(line, column_end, next);
  return goes_on ? JoinInside(line, next, vocabulary) : Join::kParagraph;
}

}  // namespace carrel::retrieval
