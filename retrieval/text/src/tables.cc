#include "tables.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <utility>

namespace carrel::retrieval {
namespace {

// Whether lines of one rotation are the cells of a table: most stand beside others, and none is as wide as a column of
// prose. `rows`: the lines by the row they stand in.
bool IsTable(const std::vector<std::vector<Line>>& rows) {
  size_t lines = 0;
  size_t beside = 0;
  float width = 0;
  float u_min = rows.front().front().extent.u_min;
  float u_max = u_min;
  for (const std::vector<Line>& row : rows) {
    lines += row.size();
    if (row.size() > 1) beside += row.size();
    for (const Line& line : row) {
      width += line.extent.u_max - line.extent.u_min;
      u_min = std::min(u_min, line.extent.u_min);
      u_max = std::max(u_max, line.extent.u_max);
    }
  }
  return rows.size() > 1 && beside * 10 >= lines * 7 && width < 0.2F * (u_max - u_min) * static_cast<float>(lines);
}

std::vector<std::vector<Line>> RowsOf(std::vector<Line> lines) {
  std::stable_sort(lines.begin(), lines.end(),
                   [](const Line& a, const Line& b) { return a.extent.v_min < b.extent.v_min; });
  std::vector<std::vector<Line>> rows;
  for (Line& line : lines) {
    const bool same =
        !rows.empty() && line.extent.v_min < rows.back().front().extent.v_max - 0.5F * line.extent.height();
    if (!same) rows.emplace_back();
    rows.back().push_back(std::move(line));
  }
  for (std::vector<Line>& row : rows) {
    std::stable_sort(row.begin(), row.end(),
                     [](const Line& a, const Line& b) { return a.extent.u_min < b.extent.u_min; });
  }
  return rows;
}

// Poppler reads the cells of a sideways table in no order that a reader would: rows from the top, cells from the left.
std::vector<Line> WithSidewaysTables(std::vector<Line> lines) {
  std::vector<Line> out;
  for (size_t begin = 0; begin < lines.size();) {
    size_t end = begin + 1;
    while (end < lines.size() && lines[end].rotation == lines[begin].rotation) ++end;
    const auto first = lines.begin() + static_cast<ptrdiff_t>(begin);
    const auto last = lines.begin() + static_cast<ptrdiff_t>(end);
    if (lines[begin].rotation != 0) {
      std::vector<std::vector<Line>> rows = RowsOf({first, last});
      if (IsTable(rows)) {
        for (std::vector<Line>& row : rows) std::move(row.begin(), row.end(), std::back_inserter(out));
        begin = end;
        continue;
      }
    }
    std::move(first, last, std::back_inserter(out));
    begin = end;
  }
  return out;
}

// Lines below each other, as Poppler gives a column.
using Column = std::vector<Line>;

constexpr size_t kRowsMin = 3;
constexpr size_t kRowsMax = 500;          // each key is looked for beside each cell
constexpr size_t kKeyCharactersMax = 20;  // on average; what is longer is prose

bool GoesOn(const Line& line, const Line& next) {
  if (line.rotation != next.rotation || line.bold != next.bold) return false;
  if (std::abs(line.font_size - next.font_size) > 0.1F * line.font_size) return false;
  const Extent& a = line.extent;
  const Extent& b = next.extent;
  // Keys wait for what they mean to end.
  const bool keys = line.text.size() <= kKeyCharactersMax && next.text.size() <= kKeyCharactersMax;
  const float gap_max = (keys ? 6 : 0.6F) * a.height();
  const float shared = std::min(a.u_max, b.u_max) - std::max(a.u_min, b.u_min);
  return b.v_min > a.v_min + 0.5F * a.height() && b.v_min < a.v_max + gap_max &&
         shared > 0.5F * std::min(a.u_max - a.u_min, b.u_max - b.u_min);
}

std::vector<Column> ColumnsOf(std::vector<Line> lines) {
  std::vector<Column> columns;
  for (Line& line : lines) {
    if (columns.empty() || !GoesOn(columns.back().back(), line)) columns.emplace_back();
    columns.back().push_back(std::move(line));
  }
  return columns;
}

bool StandBeside(const Line& key, const Line& cell) {
  const float overlap = std::min(key.extent.v_max, cell.extent.v_max) - std::max(key.extent.v_min, cell.extent.v_min);
  return key.rotation == cell.rotation && cell.extent.u_min >= key.extent.u_max &&
         overlap > 0.7F * std::max(key.extent.height(), cell.extent.height());
}

// Every key has a cell beside it: "C-k" and "kill to the end of the line".
bool AreKeys(const Column& keys, const Column& cells) {
  if (keys.size() < kRowsMin || cells.size() < keys.size() || cells.size() > kRowsMax) return false;
  size_t characters = 0;
  float u_max = keys.front().extent.u_max;
  for (const Line& key : keys) {
    characters += key.text.size();
    u_max = std::max(u_max, key.extent.u_max);
  }
  if (characters > kKeyCharactersMax * keys.size()) return false;
  if (std::any_of(cells.begin(), cells.end(), [&](const Line& cell) { return cell.extent.u_min < u_max; }))
    return false;
  return std::all_of(keys.begin(), keys.end(), [&](const Line& key) {
    return std::any_of(cells.begin(), cells.end(), [&](const Line& cell) { return StandBeside(key, cell); });
  });
}

// Each key before its cell, and what the cell goes on with behind it.
Column Zipped(Column keys, Column cells) {
  Column rows;
  auto key = keys.begin();
  for (Line& cell : cells) {
    while (key != keys.end() && key->extent.v_min < cell.extent.v_min + 0.5F * cell.extent.height()) {
      rows.push_back(std::move(*key++));
    }
    rows.push_back(std::move(cell));
  }
  std::move(key, keys.end(), std::back_inserter(rows));
  return rows;
}

std::vector<Line> WithKeys(std::vector<Line> lines) {
  std::vector<Column> columns = ColumnsOf(std::move(lines));
  std::vector<Line> out;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i + 1 < columns.size() && AreKeys(columns[i], columns[i + 1])) {
      columns[i] = Zipped(std::move(columns[i]), std::move(columns[i + 1]));
      columns[i + 1].clear();
    }
    std::move(columns[i].begin(), columns[i].end(), std::back_inserter(out));
  }
  return out;
}

}  // namespace

std::vector<Line> WithTables(std::vector<Line> lines) { return WithKeys(WithSidewaysTables(std::move(lines))); }

}  // namespace carrel::retrieval
