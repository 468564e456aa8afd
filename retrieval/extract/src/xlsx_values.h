// What a number in a cell means by the cell's format.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "xml.h"

namespace carrel::retrieval::extract {

enum class NumberKind : uint8_t { kPlain, kPercent, kDate, kTime, kDateTime, kDuration };

// Of a format code, "yyyy-mm-dd", "0.00%", "[h]:mm"; its first section counts.
[[nodiscard]] NumberKind KindOfFormat(std::string_view code);

// By the index of a cell's style.
class CellStyles final {
 public:
  CellStyles() = default;
  explicit CellStyles(const XmlTree& styles);
  [[nodiscard]] NumberKind Of(std::string_view style) const;

 private:
  std::vector<NumberKind> kinds_;
};

// `value` as it stands in the file; what is no number, or no date, comes back as it is.
[[nodiscard]] std::string FormatNumber(std::string_view value, NumberKind kind, bool from_1904);

}  // namespace carrel::retrieval::extract
