// Running heads, feet and page numbers.
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "characters.h"
#include "lines.h"

namespace carrel::retrieval {
namespace {

// Of the page's height, at either end.
constexpr float kZone = 0.13F;
// Lines at either end that may be margin: a head of two lines and a rule's label, not a paragraph.
constexpr size_t kLinesMax = 3;
// The same head stands within this of itself, in points.
constexpr float kSamePlace = 4;

enum class Edge { kNone, kUpper, kLower };

struct Candidate {
  size_t page;
  size_t line;
  Edge edge;
  std::u32string key;
};

float Middle(const Line& line) { return (line.extent.v_min + line.extent.v_max) / 2; }

bool IsRoman(std::u32string_view text) {
  return !text.empty() && text.size() <= 8 && std::all_of(text.begin(), text.end(), [](char32_t c) {
    return std::u32string_view(U"ivxlcdmIVXLCDM").find(c) != std::u32string_view::npos;
  });
}

// Without digits and the numbers of front matter, so that "12 On Methods" and "14 On Methods" are one.
std::u32string KeyOf(const Line& line) {
  std::u32string key;
  std::u32string word;
  const auto close = [&] {
    if (IsRoman(word)) word = U"#";
    key += word;
    word.clear();
  };
  for (const char32_t c : line.text) {
    if (IsDigit(c)) {
      if (word.empty() || word.back() != U'#') word.push_back(U'#');
    } else if (IsSpace(c)) {
      close();
      key.push_back(U' ');
    } else {
      word.push_back(Lower(c));
    }
  }
  close();
  return key;
}

// What is left of a page number's decoration: "- 12 -", "Page 12 of 90", "[xii]".
std::u32string BareNumber(const Line& line) {
  std::u32string bare;
  for (const char32_t c : line.text) {
    if (IsLetter(c) || IsDigit(c) || c == U' ') bare.push_back(Lower(c));
  }
  const auto strip = [&](std::u32string_view word) {
    if (bare.starts_with(word)) bare.erase(0, word.size());
  };
  strip(U" ");
  strip(U"page ");
  strip(U"seite ");
  if (const size_t of = bare.find(U" of "); of != std::u32string::npos) bare.erase(of);
  while (!bare.empty() && bare.back() == U' ') bare.pop_back();
  return bare;
}

bool IsNumberOf(const RawPage& page, const Line& line) {
  const std::string bare = ToUtf8(BareNumber(line));
  return !bare.empty() && (bare == absl::AsciiStrToLower(page.label) || bare == absl::StrCat(page.number));
}

// Places where margins were found: a head of the current chapter stands where the others stand.
struct Place {
  Edge edge;
  int v;  // in kSamePlace
  bool operator==(const Place&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const Place& p) {
    return H::combine(std::move(h), p.edge, p.v);
  }
};

class Marker final {
 public:
  Marker(const std::vector<RawPage>& raw, std::vector<std::vector<Line>>& pages) : raw_(raw), pages_(pages) {
    for (size_t page = 0; page < pages_.size(); ++page) FindCandidates(page);
  }

  void Mark() {
    MarkRepeated();
    MarkNumbers();
    MarkByPlace();
  }

 private:
  void FindCandidates(size_t page) {
    const float height = raw_[page].height;
    std::vector<size_t> order;
    for (size_t i = 0; i < pages_[page].size(); ++i) {
      if (pages_[page][i].rotation == 0) order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return Middle(pages_[page][a]) < Middle(pages_[page][b]); });
    const auto add = [&](size_t line, Edge edge) {
      candidates_.push_back({.page = page, .line = line, .edge = edge, .key = KeyOf(pages_[page][line])});
    };
    size_t upper = 0;
    while (upper < std::min(order.size(), kLinesMax) && Middle(pages_[page][order[upper]]) < height * kZone) {
      add(order[upper++], Edge::kUpper);
    }
    for (size_t lower = 0; lower < kLinesMax && upper + lower < order.size(); ++lower) {
      const size_t line = order[order.size() - 1 - lower];
      if (Middle(pages_[page][line]) < height * (1 - kZone)) break;
      add(line, Edge::kLower);
    }
  }

  [[nodiscard]] Line& LineOf(const Candidate& candidate) { return pages_[candidate.page][candidate.line]; }
  // From the edge that it belongs to, so that pages of different heights agree.
  [[nodiscard]] float DistanceOf(const Candidate& candidate) {
    const float middle = Middle(LineOf(candidate));
    return candidate.edge == Edge::kUpper ? middle : raw_[candidate.page].height - middle;
  }
  Place PlaceOf(const Candidate& candidate) {
    return {.edge = candidate.edge, .v = static_cast<int>(std::lround(DistanceOf(candidate) / kSamePlace))};
  }

  void MarkRepeated() {
    absl::flat_hash_map<std::u32string, std::vector<const Candidate*>> by_key;
    for (const Candidate& candidate : candidates_) by_key[candidate.key].push_back(&candidate);
    const size_t needed = std::min<size_t>(3, std::max<size_t>(2, pages_.size()));
    for (const auto& [key, same] : by_key) {
      for (const Candidate* candidate : same) {
        size_t here = 0;
        for (const Candidate* other : same) {
          here += other->edge == candidate->edge && std::abs(DistanceOf(*other) - DistanceOf(*candidate)) <= kSamePlace
                      ? 1
                      : 0;
          if (here == needed) break;
        }
        if (here == needed) LineOf(*candidate).margin = true;
      }
    }
  }

  void MarkNumbers() {
    for (const Candidate& candidate : candidates_) {
      if (IsNumberOf(raw_[candidate.page], LineOf(candidate))) LineOf(candidate).margin = true;
    }
  }

  // A head that stands on one or two pages only: at a place where nearly all others were recognised.
  void MarkByPlace() {
    absl::flat_hash_map<Place, std::pair<size_t, size_t>> places;  // marked, all
    for (const Candidate& candidate : candidates_) {
      auto& [marked, all] = places[PlaceOf(candidate)];
      marked += LineOf(candidate).margin ? 1 : 0;
      ++all;
    }
    for (const Candidate& candidate : candidates_) {
      const auto& [marked, all] = places[PlaceOf(candidate)];
      if (marked >= 3 && marked * 10 >= all * 6) LineOf(candidate).margin = true;
    }
  }

  const std::vector<RawPage>& raw_;
  std::vector<std::vector<Line>>& pages_;
  std::vector<Candidate> candidates_;
};

}  // namespace

void MarkMargins(const std::vector<RawPage>& raw, std::vector<std::vector<Line>>& pages) { Marker(raw, pages).Mark(); }

}  // namespace carrel::retrieval
