#include "table_rows.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

namespace carrel::retrieval::extract {
namespace {

// A name is put before every cell of its column.
constexpr size_t kNameBytesMax = 100;

bool MayBeNames(const std::vector<Cell>& row) {
  std::set<std::string_view> seen;
  for (const Cell& cell : row) {
    if (cell.number || LooksLikeNumber(cell.text) || !seen.insert(cell.text).second) return false;
  }
  return !row.empty();
}

}  // namespace

bool LooksLikeNumber(std::string_view text) {
  bool digit = false;
  for (const char c : text) {
    digit = digit || (c >= '0' && c <= '9');
    if ((c < '0' || c > '9') && std::string_view("+-.,:/% eE").find(c) == std::string_view::npos) return false;
  }
  return digit;
}

void TableRows::Add(std::vector<Cell> row) {
  if (row.empty()) return;
  if (decided_) return Put(row, true);
  if (held_any_) {
    // Something stands below it.
    for (Cell& name : held_) {
      if (names_.size() <= name.column) names_.resize(name.column + 1);
      names_[name.column] = CutUtf8(name.text, kNameBytesMax);
    }
    Put(held_, false);
    decided_ = true;
    return Put(row, true);
  }
  const bool title = titles_above_ && row.size() < 2 && ++rows_before_ < kTitlesMax;
  if (!title && MayBeNames(row)) {
    held_ = std::move(row);
    held_any_ = true;
    return;
  }
  decided_ = !title;
  Put(row, false);
}

void TableRows::Finish() {
  if (held_any_ && !decided_) Put(held_, false);
}

void TableRows::Put(const std::vector<Cell>& row, bool named) {
  line_.clear();
  for (const Cell& cell : row) {
    if (!line_.empty()) line_ += "; ";
    if (named && cell.column < names_.size() && !names_[cell.column].empty()) {
      line_ += names_[cell.column];
      line_ += ": ";
    }
    line_ += cell.text;
  }
  out_.Row(line_);
}

}  // namespace carrel::retrieval::extract
