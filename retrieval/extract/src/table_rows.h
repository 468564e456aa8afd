// Rows of a table to lines that say by themselves which column is what: "name: Ada; city: Turin".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "block_writer.h"

namespace carrel::retrieval::extract {

struct Cell {
  uint32_t column = 0;  // from 0
  std::string text;     // not empty
  bool number = false;  // or a date, a truth value: never a column's name
};

// The names of the columns are a row of words, all different, with something below it: the first row, or with
// `titles_above` the first of two cells or more among the first kTitlesMax. Without such a row cells stand alone.
class TableRows final {
 public:
  TableRows(BlockWriter& out, bool titles_above) : out_(out), titles_above_(titles_above) {}
  // Cells by rising column, empty ones left out.
  void Add(std::vector<Cell> row);
  // After the last row.
  void Finish();

 private:
  static constexpr int kTitlesMax = 20;
  void Put(const std::vector<Cell>& row, bool named);
  BlockWriter& out_;
  const bool titles_above_;
  bool decided_ = false;
  int rows_before_ = 0;
  bool held_any_ = false;
  std::vector<Cell> held_;  // what may be the names
  std::vector<std::string> names_;
  std::string line_;
};

// A number, as people write them: "-1,234.5", "12 %", "2024-05-01", "10:30".
[[nodiscard]] bool LooksLikeNumber(std::string_view text);

}  // namespace carrel::retrieval::extract
