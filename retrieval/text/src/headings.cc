#include "headings.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "characters.h"

namespace carrel::retrieval {
namespace {

// Lines that one heading may run over.
constexpr size_t kHeadingLinesMax = 3;
constexpr size_t kHeadingCharactersMax = 200;

// Letters and digits in lower case: how an outline's title and the printed heading agree.
std::u32string Folded(std::u32string_view text) {
  std::u32string out;
  for (const char32_t c : text) {
    if (IsLetter(c) || IsDigit(c)) out.push_back(Lower(c));
  }
  return out;
}

bool IsNumbering(std::u32string_view word) {
  static constexpr std::u32string_view kNames[] = {U"chapter", U"section", U"appendix", U"part"};
  const std::u32string folded = Folded(word);
  if (std::find(std::begin(kNames), std::end(kNames), folded) != std::end(kNames)) return true;
  if (folded.empty() || folded.size() > 6) return folded.empty();
  return std::any_of(folded.begin(), folded.end(), [](char32_t c) { return IsDigit(c); }) ||
         (word.back() == U'.' && folded.size() == 1);
}

// Folded, without "Chapter 3", "3.1", "A." before it; empty when there is nothing else.
std::u32string WithoutNumber(std::u32string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find(U' '), text.size());
    if (!IsNumbering(text.substr(0, end))) break;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return Folded(text);
}

float BodySize(const std::vector<const Line*>& lines) {
  std::map<int, size_t> by_size;
  for (const Line* line : lines) by_size[static_cast<int>(std::lround(line->font_size * 2))] += line->text.size();
  const auto most =
      std::max_element(by_size.begin(), by_size.end(), [](auto& a, auto& b) { return a.second < b.second; });
  return most == by_size.end() ? 0 : static_cast<float>(most->first) / 2;
}

std::string OneLine(std::u32string_view text) {
  std::u32string out;
  for (const char32_t c : text.substr(0, kHeadingCharactersMax)) {
    if (!IsSpace(c)) {
      out.push_back(c);
    } else if (!out.empty() && out.back() != U' ') {
      out.push_back(U' ');
    }
  }
  while (!out.empty() && out.back() == U' ') out.pop_back();
  return ToUtf8(out);
}

// Prefix maxima over line numbers.
class BestBefore final {
 public:
  struct Best {
    uint64_t score = 0;
    int chosen = -1;  // index into the choices
    size_t line = 0;
  };
  explicit BestBefore(size_t lines) : tree_(lines + 1) {}
  // Over lines < `line`. Of equal scores the one that stands last: a table of contents stands in front.
  [[nodiscard]] Best Query(size_t line) const {
    Best best;
    for (; line > 0; line &= line - 1) best = Better(best, tree_[line]);
    return best;
  }
  void Update(const Best& entry) {
    for (size_t at = entry.line + 1; at < tree_.size(); at += at & (~at + 1)) tree_[at] = Better(tree_[at], entry);
  }

 private:
  static Best Better(const Best& a, const Best& b) {
    return std::pair(b.score, b.line) > std::pair(a.score, a.line) ? b : a;
  }
  std::vector<Best> tree_;  // a Fenwick tree
};

// Finds the lines in which the outline's titles stand: of all ways to place the titles on lines that read like them, in
// order, the one that places most, where a line that looks like a heading counts for more than one that does not.
class OutlineMatcher final {
 public:
  OutlineMatcher(const std::vector<const Line*>& lines, float body_size) : lines_(lines), body_size_(body_size) {
    for (size_t i = 0; i < lines.size(); ++i) {
      std::u32string text;
      for (size_t n = 1; n <= kHeadingLinesMax && i + n <= lines.size(); ++n) {
        text += (n > 1 ? U" " : U"") + lines[i + n - 1]->text;
        if (text.size() > kHeadingCharactersMax) break;
        Index(Folded(text), i, n);
        Index(WithoutNumber(text), i, n);
      }
    }
  }

  std::vector<Heading> Match(const std::vector<RawOutlineItem>& outline) const {
    struct Choice {
      size_t item;
      Place place;
      int before;
    };
    std::vector<Choice> choices;
    BestBefore best(lines_.size());
    for (size_t item = 0; item < outline.size(); ++item) {
      const auto title = FromUtf8(outline[item].title);
      if (!title.ok()) continue;
      std::vector<BestBefore::Best> entries;
      for (const Place& place : PlacesOf(*title)) {
        const BestBefore::Best before = best.Query(place.line);
        entries.push_back({before.score + (LooksLikeHeading(*lines_[place.line]) ? 3 : 1),
                           static_cast<int>(choices.size()), place.line});
        choices.push_back({item, place, before.chosen});
      }
      // Only now: two lines for one title would else follow each other.
      for (const BestBefore::Best& entry : entries) best.Update(entry);
    }
    std::vector<Heading> headings;
    for (int at = best.Query(lines_.size()).chosen; at >= 0; at = choices[static_cast<size_t>(at)].before) {
      const Choice& choice = choices[static_cast<size_t>(at)];
      const auto title = FromUtf8(outline[choice.item].title);
      const size_t last = choice.place.line + choice.place.count - 1;
      headings.push_back({.span = {lines_[choice.place.line]->span.begin, lines_[last]->span.end},
                          .level = outline[choice.item].level,
                          .title = OneLine(*title)});
    }
    std::reverse(headings.begin(), headings.end());
    return headings;
  }

 private:
  // Of one title; the last ones are taken.
  static constexpr size_t kPlacesMax = 64;

  struct Place {
    size_t line;
    size_t count;
  };

  void Index(std::u32string key, size_t line, size_t count) {
    if (key.empty()) return;
    std::vector<Place>& places = places_[std::move(key)];
    if (places.empty() || places.back().line != line) places.push_back({line, count});
  }

  [[nodiscard]] bool LooksLikeHeading(const Line& line) const {
    return line.bold || line.font_size > 1.05F * body_size_;
  }

  [[nodiscard]] std::span<const Place> PlacesOf(std::u32string_view title) const {
    auto found = places_.find(Folded(title));
    if (found == places_.end()) found = places_.find(WithoutNumber(title));
    if (found == places_.end()) return {};
    const std::span<const Place> all = found->second;
    return all.last(std::min(all.size(), kPlacesMax));
  }

  const std::vector<const Line*>& lines_;
  const float body_size_;
  absl::flat_hash_map<std::u32string, std::vector<Place>> places_;
};

// Lines that are clearly larger than the running text.
std::vector<Heading> HeadingsBySize(const std::vector<const Line*>& lines, float body_size) {
  struct Found {
    Heading heading;
    int size;  // half points
  };
  std::vector<Found> found;
  for (size_t i = 0; i < lines.size();) {
    const Line& line = *lines[i];
    const auto size = static_cast<int>(std::lround(line.font_size * 2));
    size_t end = i + 1;
    std::u32string text = line.text;
    while (end < lines.size() && end - i < kHeadingLinesMax &&
           static_cast<int>(std::lround(lines[end]->font_size * 2)) == size) {
      text += U" " + lines[end++]->text;
    }
    const bool larger = line.font_size >= 1.15F * body_size && line.font_size >= body_size + 1;
    const auto letters = std::count_if(text.begin(), text.end(), [](char32_t c) { return IsLetter(c); });
    if (!larger || letters < 2 || text.size() > kHeadingCharactersMax) {
      // A long run of large type is no heading, nor is what remains of it.
      i = larger ? end : i + 1;
      continue;
    }
    found.push_back({{.span = {line.span.begin, lines[end - 1]->span.end}, .title = OneLine(text)}, size});
    i = end;
  }
  if (found.size() * 4 > lines.size()) return {};
  std::vector<int> sizes;
  for (const Found& one : found) sizes.push_back(one.size);
  std::sort(sizes.rbegin(), sizes.rend());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  std::vector<Heading> headings;
  for (Found& one : found) {
    const auto rank = std::find(sizes.begin(), sizes.end(), one.size) - sizes.begin();
    one.heading.level = static_cast<uint8_t>(std::min<ptrdiff_t>(rank + 1, 6));
    headings.push_back(std::move(one.heading));
  }
  return headings;
}

struct TextLine {
  uint32_t begin;
  uint32_t end;  // without the newline
};

std::vector<TextLine> SplitLines(std::u32string_view text) {
  std::vector<TextLine> lines;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find(U'\n', begin), text.size());
    lines.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end)});
    begin = end + 1;
  }
  return lines;
}

std::u32string_view Trimmed(std::u32string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

bool IsRowOf(std::u32string_view text, char32_t c) {
  return text.size() >= 3 && text.find_first_not_of(c) == std::u32string_view::npos;
}

}  // namespace

std::vector<Heading> FindHeadings(const std::vector<const Line*>& lines, const std::vector<RawOutlineItem>& outline) {
  const float body_size = BodySize(lines);
  std::vector<Heading> headings;
  if (!outline.empty()) headings = OutlineMatcher(lines, body_size).Match(outline);
  if (headings.empty()) headings = HeadingsBySize(lines, body_size);
  return headings;
}

std::vector<Heading> FindMarkdownHeadings(std::u32string_view text) {
  std::vector<Heading> headings;
  bool fenced = false;
  std::u32string_view above;
  uint32_t above_begin = 0;
  for (const TextLine& line : SplitLines(text)) {
    const std::u32string_view trimmed = Trimmed(text.substr(line.begin, line.end - line.begin));
    if (trimmed.starts_with(U"```") || trimmed.starts_with(U"~~~")) fenced = !fenced;
    if (fenced) {
      above = {};
      continue;
    }
    size_t hashes = 0;
    while (hashes < trimmed.size() && trimmed[hashes] == U'#') ++hashes;
    if (hashes >= 1 && hashes <= 6 && hashes < trimmed.size() && trimmed[hashes] == U' ') {
      std::u32string_view title = Trimmed(trimmed.substr(hashes));
      while (!title.empty() && title.back() == U'#') title.remove_suffix(1);
      title = Trimmed(title);
      headings.push_back(
          {.span = {line.begin, line.end}, .level = static_cast<uint8_t>(hashes), .title = OneLine(title)});
      above = {};
      continue;
    }
    const bool underline = IsRowOf(trimmed, U'=') || IsRowOf(trimmed, U'-');
    if (underline && !above.empty() && !above.starts_with(U"|")) {
      headings.push_back({.span = {above_begin, line.end},
                          .level = static_cast<uint8_t>(trimmed.front() == U'=' ? 1 : 2),
                          .title = OneLine(above)});
      above = {};
      continue;
    }
    above = trimmed;
    above_begin = line.begin;
  }
  return headings;
}

}  // namespace carrel::retrieval
