#include "reading_order.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <optional>
#include <utility>

namespace carrel::retrieval {
namespace {

// Less on either side is no column of prose.
constexpr size_t kColumnLinesMin = 4;
constexpr size_t kColumnCharactersMin = 15;  // of its middle line
// Headings and wide figures' captions run over a gutter, prose does not.
constexpr float kCrossingShareMax = 0.34F;
constexpr float kSlack = 1;  // points
constexpr int kDepthMax = 6;

enum class Side : uint8_t { kBefore, kAfter, kAcross };

// A word too long for its column sticks out a little; that is no line across.
Side SideOf(const Line& line, float gutter) {
  const float slack = std::max(kSlack, 0.6F * line.font_size);
  if (line.extent.u_max <= gutter + slack) return Side::kBefore;
  return line.extent.u_min >= gutter - slack ? Side::kAfter : Side::kAcross;
}

template <typename Number>
Number Middle(std::vector<Number> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Most lines are about as wide as the widest, and hold more than a table's cell does.
bool IsProse(const std::vector<const Line*>& lines) {
  if (lines.size() < kColumnLinesMin) return false;
  std::vector<float> widths;
  std::vector<size_t> characters;
  for (const Line* line : lines) {
    widths.push_back(line->extent.u_max - line->extent.u_min);
    characters.push_back(line->text.size());
  }
  const float widest = *std::max_element(widths.begin(), widths.end());
  return Middle(characters) >= kColumnCharactersMin && Middle(widths) >= 0.55F * widest;
}

// Where blocks begin: after a gap, the first one aside.
std::vector<float> BlockStarts(std::vector<const Line*> lines) {
  std::sort(lines.begin(), lines.end(), [](const Line* a, const Line* b) { return a->extent.v_min < b->extent.v_min; });
  std::vector<float> starts;
  for (size_t i = 1; i < lines.size(); ++i) {
    const float gap = lines[i]->extent.v_min - lines[i - 1]->extent.v_max;
    if (gap > 0.25F * lines[i]->extent.height()) starts.push_back(lines[i]->extent.v_min);
  }
  return starts;
}

// The rows of a table begin at the same height in all of its columns. Columns that are set on a grid do so now and
// then.
bool AreRows(const std::vector<const Line*>& before, const std::vector<const Line*>& after) {
  const std::vector<float> a = BlockStarts(before);
  const std::vector<float> b = BlockStarts(after);
  size_t aligned = 0;
  for (const float start : a) {
    aligned += std::any_of(b.begin(), b.end(), [&](float other) { return std::abs(other - start) < 2; }) ? 1 : 0;
  }
  const size_t fewer = std::min(a.size(), b.size());
  return aligned > 0 && aligned * 10 >= fewer * 6;
}

struct Columns {
  std::vector<const Line*> before;
  std::vector<const Line*> after;
  size_t across = 0;
};

Columns Split(const std::vector<Line>& lines, float gutter) {
  Columns columns;
  for (const Line& line : lines) {
    switch (SideOf(line, gutter)) {
      case Side::kBefore:
        columns.before.push_back(&line);
        break;
      case Side::kAfter:
        columns.after.push_back(&line);
        break;
      case Side::kAcross:
        ++columns.across;
        break;
    }
  }
  return columns;
}

// How far the two stand beside each other.
float SharedHeight(const Columns& columns) {
  const auto range = [](const std::vector<const Line*>& lines) {
    float v_min = lines.front()->extent.v_min;
    float v_max = lines.front()->extent.v_max;
    for (const Line* line : lines) {
      v_min = std::min(v_min, line->extent.v_min);
      v_max = std::max(v_max, line->extent.v_max);
    }
    return std::pair(v_min, v_max);
  };
  const auto [a_min, a_max] = range(columns.before);
  const auto [b_min, b_max] = range(columns.after);
  return std::min(a_max, b_max) - std::max(a_min, b_min);
}

// The gutter between two columns of prose that the fewest lines cross.
std::optional<float> FindGutter(const std::vector<Line>& lines) {
  // Many lines of a column end at the same place: each place is looked at once.
  std::vector<float> ends;
  for (const Line& line : lines) ends.push_back(line.extent.u_max);
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end(), [](float a, float b) { return b - a < 2 * kSlack; }), ends.end());
  std::optional<float> best;
  size_t best_across = lines.size();
  for (const float end : ends) {
    const float gutter = end + 2 * kSlack;
    const Columns columns = Split(lines, gutter);
    if (columns.across >= best_across) continue;
    if (static_cast<float>(columns.across) > kCrossingShareMax * static_cast<float>(lines.size())) continue;
    if (!IsProse(columns.before) || !IsProse(columns.after)) continue;
    if (SharedHeight(columns) < 3 * columns.before.front()->extent.height()) continue;
    if (AreRows(columns.before, columns.after)) continue;
    best = gutter;
    best_across = columns.across;
  }
  return best;
}

// Whether the lines of a band are read one column after the other already.
bool IsInOrder(const std::vector<Line>& band, float gutter, bool right_to_left) {
  const Side first = right_to_left ? Side::kAfter : Side::kBefore;
  bool turned = false;
  for (const Line& line : band) {
    const bool is_first = SideOf(line, gutter) == first;
    if (is_first && turned) return false;
    turned = turned || !is_first;
  }
  return true;
}

// Whether some lines stand beside each other: then they are not to be sorted by height alone.
bool HasNeighbours(const std::vector<Line>& lines) {
  std::vector<const Line*> sorted;
  for (const Line& line : lines) sorted.push_back(&line);
  std::sort(sorted.begin(), sorted.end(),
            [](const Line* a, const Line* b) { return a->extent.v_min < b->extent.v_min; });
  for (size_t i = 1; i < sorted.size(); ++i) {
    const Extent& a = sorted[i - 1]->extent;
    const Extent& b = sorted[i]->extent;
    const bool apart = a.u_max <= b.u_min || b.u_max <= a.u_min;
    if (apart && a.v_max - b.v_min > 0.5F * std::min(a.height(), b.height())) return true;
  }
  return false;
}

std::vector<Line> Ordered(std::vector<Line> lines, int depth);

bool IsFromRight(const std::vector<Line>& band) {
  const auto right_to_left =
      static_cast<size_t>(std::count_if(band.begin(), band.end(), [](const Line& line) { return line.right_to_left; }));
  return 2 * right_to_left > band.size();
}

void AppendBand(std::vector<Line> band, float gutter, int depth, std::vector<Line>& out) {
  const bool from_right = IsFromRight(band);
  if (IsInOrder(band, gutter, from_right)) {
    std::move(band.begin(), band.end(), std::back_inserter(out));
    return;
  }
  const Side first = from_right ? Side::kAfter : Side::kBefore;
  std::vector<Line> columns[2];
  for (Line& line : band) columns[SideOf(line, gutter) == first ? 0 : 1].push_back(std::move(line));
  for (std::vector<Line>& column : columns) {
    if (!HasNeighbours(column)) {
      std::stable_sort(column.begin(), column.end(),
                       [](const Line& a, const Line& b) { return a.extent.v_min < b.extent.v_min; });
    }
    column = Ordered(std::move(column), depth + 1);
    std::move(column.begin(), column.end(), std::back_inserter(out));
  }
}

std::vector<Line> Ordered(std::vector<Line> lines, int depth) {
  if (depth > kDepthMax || lines.size() < 2 * kColumnLinesMin) return lines;
  const std::optional<float> gutter = FindGutter(lines);
  if (!gutter) return lines;
  // The lines across the gutter, from the top, divide the page into bands.
  std::vector<float> borders;
  for (const Line& line : lines) {
    if (SideOf(line, *gutter) == Side::kAcross) borders.push_back(line.extent.v_min);
  }
  std::sort(borders.begin(), borders.end());
  std::vector<std::vector<Line>> bands(borders.size() + 1);
  std::vector<std::vector<Line>> across(borders.size() + 1);
  for (const Line& line : lines) {
    const auto middle = (line.extent.v_min + line.extent.v_max) / 2;
    const bool is_across = SideOf(line, *gutter) == Side::kAcross;
    const auto above = std::partition_point(borders.begin(), borders.end(), [&](float border) {
      return is_across ? border < line.extent.v_min : border < middle;
    });
    const auto index = static_cast<size_t>(above - borders.begin());
    (is_across ? across[index] : bands[index]).push_back(line);
  }
  // What Poppler reads well it may go on reading as it does.
  if (std::all_of(bands.begin(), bands.end(),
                  [&](const std::vector<Line>& band) { return IsInOrder(band, *gutter, IsFromRight(band)); })) {
    return lines;
  }
  std::vector<Line> out;
  out.reserve(lines.size());
  for (size_t i = 0; i < bands.size(); ++i) {
    if (!bands[i].empty()) AppendBand(std::move(bands[i]), *gutter, depth, out);
    std::move(across[i].begin(), across[i].end(), std::back_inserter(out));
  }
  return out;
}

}  // namespace

std::vector<Line> InReadingOrder(std::vector<Line> lines) {
  constexpr size_t kLinesMax = 2'000;   // a page of more is no page of prose
  constexpr float kWatermarkTimes = 6;  // as high as the page's lines
  if (lines.size() < 2 * kColumnLinesMin || lines.size() > kLinesMax) return lines;
  std::vector<float> heights;
  size_t by_rotation[4] = {};
  for (const Line& line : lines) {
    heights.push_back(line.extent.height());
    ++by_rotation[line.rotation & 3];
  }
  const auto usual = std::max_element(std::begin(by_rotation), std::end(by_rotation)) - std::begin(by_rotation);
  const float height_max = kWatermarkTimes * Middle(std::move(heights));
  const auto is_text = [&](const Line& line) {
    return (line.rotation & 3) == usual && line.extent.height() <= height_max;
  };
  // What runs over the page for the eye alone, and what is written along its edge, stands behind the text.
  const auto others = std::stable_partition(lines.begin(), lines.end(), is_text);
  if (others == lines.end()) return Ordered(std::move(lines), 0);
  std::vector<Line> text(std::make_move_iterator(lines.begin()), std::make_move_iterator(others));
  std::vector<Line> out = Ordered(std::move(text), 0);
  std::move(others, lines.end(), std::back_inserter(out));
  return out;
}

}  // namespace carrel::retrieval
