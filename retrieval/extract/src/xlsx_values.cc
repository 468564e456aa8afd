#include "xlsx_values.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <map>

namespace carrel::retrieval::extract {
namespace {

// Ids below 164 are Excel's own (ECMA-376, 18.8.30).
NumberKind KindOfBuiltin(uint32_t id) {
  if (id == 9 || id == 10) return NumberKind::kPercent;
  if (id >= 14 && id <= 17) return NumberKind::kDate;
  if (id >= 18 && id <= 21) return NumberKind::kTime;
  if (id == 22) return NumberKind::kDateTime;
  if ((id >= 27 && id <= 31) || id == 36 || (id >= 50 && id <= 54) || id == 57 || id == 58) return NumberKind::kDate;
  if (id == 45 || id == 47) return NumberKind::kTime;
  if (id == 46) return NumberKind::kDuration;
  return NumberKind::kPlain;
}

uint32_t ToNumber(std::string_view text) {
  uint32_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string Printed(const char* format, double value) {
  char buffer[64];
  const int size = std::snprintf(buffer, sizeof buffer, format, value);
  return {buffer, static_cast<size_t>(size)};
}

struct Civil {
  int64_t year;
  unsigned month;
  unsigned day;
};
// Days from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
Civil CivilOf(int64_t days) {
  days += 719'468;
  const int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  const auto of_era = static_cast<unsigned>(days - era * 146'097);
  const unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36'524 - of_era / 146'096) / 365;
  const unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned shifted = (5 * of_year + 2) / 153;
  const unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
  return {static_cast<int64_t>(year_of_era) + era * 400 + (month <= 2 ? 1 : 0), month,
          of_year - (153 * shifted + 2) / 5 + 1};
}

std::string DateOf(int64_t serial, bool from_1904) {
  // Excel counts a 29th of February 1900, which was none.
  const int64_t days = from_1904 ? serial - 24'107 : serial < 60 ? serial - 25'568 : serial - 25'569;
  const Civil date = CivilOf(days);
  char buffer[32];
  const int size =
      std::snprintf(buffer, sizeof buffer, "%04d-%02u-%02u", static_cast<int>(date.year), date.month, date.day);
  return {buffer, static_cast<size_t>(size)};
}

std::string TimeOf(int64_t seconds) {
  char buffer[48];
  const auto hours = static_cast<long long>(seconds / 3600);
  const auto minutes = static_cast<int>(seconds / 60 % 60);
  const auto rest = static_cast<int>(seconds % 60);
  const int size = rest == 0 ? std::snprintf(buffer, sizeof buffer, "%02lld:%02d", hours, minutes)
                             : std::snprintf(buffer, sizeof buffer, "%02lld:%02d:%02d", hours, minutes, rest);
  return {buffer, static_cast<size_t>(size)};
}

}  // namespace

NumberKind KindOfFormat(std::string_view code) {
  bool date = false;
  bool time = false;
  bool month_or_minute = false;
  bool percent = false;
  for (size_t i = 0; i < code.size() && code[i] != ';'; ++i) {
    const char c = code[i] >= 'A' && code[i] <= 'Z' ? static_cast<char>(code[i] + 32) : code[i];
    if (c == '"') {
      i = std::min(code.find('"', i + 1), code.size());
    } else if (c == '\\' || c == '_' || c == '*') {
      ++i;
    } else if (c == '[') {
      const std::string_view inside = code.substr(i + 1, std::min(code.find(']', i), code.size()) - i - 1);
      if (inside.find_first_not_of("hHmMsS") == std::string_view::npos && !inside.empty()) return NumberKind::kDuration;
      i = std::min(code.find(']', i), code.size());
    } else if (code.substr(i).starts_with("General")) {
      i += 6;
    } else {
      date = date || c == 'y' || c == 'd';
      time = time || c == 'h' || c == 's';
      month_or_minute = month_or_minute || c == 'm';
      percent = percent || c == '%';
    }
  }
  if (date && time) return NumberKind::kDateTime;
  if (date || (month_or_minute && !time)) return NumberKind::kDate;
  if (time) return NumberKind::kTime;
  return percent ? NumberKind::kPercent : NumberKind::kPlain;
}

CellStyles::CellStyles(const XmlTree& styles) {
  std::map<uint32_t, NumberKind> own;
  if (const XmlTree::Id formats = styles.Child(0, "numFmts"); formats != 0) {
    styles.EachChild(formats, [&](XmlTree::Id id) {
      if (styles.Name(id) != "numFmt") return;
      own[ToNumber(styles.Attribute(id, "numFmtId"))] = KindOfFormat(styles.Attribute(id, "formatCode"));
    });
  }
  if (const XmlTree::Id cells = styles.Child(0, "cellXfs"); cells != 0) {
    styles.EachChild(cells, [&](XmlTree::Id id) {
      if (styles.Name(id) != "xf") return;
      const uint32_t format = ToNumber(styles.Attribute(id, "numFmtId"));
      const auto found = own.find(format);
      kinds_.push_back(found != own.end() ? found->second : KindOfBuiltin(format));
    });
  }
}

NumberKind CellStyles::Of(std::string_view style) const {
  const uint32_t index = ToNumber(style);
  return index < kinds_.size() ? kinds_[index] : NumberKind::kPlain;
}

std::string FormatNumber(std::string_view value, NumberKind kind, bool from_1904) {
  double number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || !std::isfinite(number)) return std::string(value);
  if (kind == NumberKind::kPercent) return Printed("%.10g", number * 100) + "%";
  // The 31st of December 9999 is the last day that Excel knows.
  const bool is_date = kind != NumberKind::kPlain && number >= 0 && number < 2'958'466;
  if (!is_date) return Printed("%.15g", number);
  const auto seconds = static_cast<int64_t>(std::llround(number * 86'400));
  const int64_t day = seconds / 86'400;
  const int64_t of_day = seconds % 86'400;
  switch (kind) {
    case NumberKind::kDuration:
      return TimeOf(seconds);
    case NumberKind::kTime:
      return day == 0 ? TimeOf(of_day) : DateOf(day, from_1904) + " " + TimeOf(of_day);
    case NumberKind::kDateTime:
      return DateOf(day, from_1904) + " " + TimeOf(of_day);
    default:
      return DateOf(day, from_1904);
  }
}

}  // namespace carrel::retrieval::extract
