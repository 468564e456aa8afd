// UTF-16 to UTF-8, and the check of UTF-8; both without allocation per character and without locale.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace carrel::retrieval::extract {

inline void AppendUtf8(char32_t c, std::string& out) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out.push_back(static_cast<char>(0xC0 | (c >> 6)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else if (c < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | (c >> 12)));
    out.push_back(static_cast<char>(0x80 | ((c >> 6) & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else {
    out.push_back(static_cast<char>(0xF0 | (c >> 18)));
    out.push_back(static_cast<char>(0x80 | ((c >> 12) & 0x3F)));
    out.push_back(static_cast<char>(0x80 | ((c >> 6) & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  }
}

// Lone surrogates become U+FFFD. `Units` is any random access sequence of 16-bit units.
template <typename Units>
void AppendUtf16AsUtf8(const Units& units, std::string& out) {
  for (size_t i = 0; i < units.size(); ++i) {
    const auto unit = static_cast<uint16_t>(units[i]);
    if (unit >= 0xD800 && unit < 0xDC00 && i + 1 < units.size()) {
      const auto low = static_cast<uint16_t>(units[i + 1]);
      if (low >= 0xDC00 && low < 0xE000) {
        AppendUtf8(0x10000 + ((char32_t{unit} - 0xD800) << 10) + (char32_t{low} - 0xDC00), out);
        ++i;
        continue;
      }
    }
    AppendUtf8(unit >= 0xD800 && unit < 0xE000 ? U'\uFFFD' : char32_t{unit}, out);
  }
}

// The offset of the first byte that is not part of well-formed UTF-8 (Unicode 15, table 3-7), or none.
inline std::optional<size_t> FirstNotUtf8(std::string_view bytes) {
  size_t i = 0;
  const auto at = [&](size_t k) { return static_cast<unsigned char>(bytes[k]); };
  const auto tail = [&](size_t k, unsigned low, unsigned high) {
    return k < bytes.size() && at(k) >= low && at(k) <= high;
  };
  while (i < bytes.size()) {
    const unsigned lead = at(i);
    size_t length = 0;
    if (lead < 0x80) {
      length = 1;
    } else if (lead >= 0xC2 && lead <= 0xDF) {
      length = tail(i + 1, 0x80, 0xBF) ? 2 : 0;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      const unsigned low = lead == 0xE0 ? 0xA0 : 0x80;
      const unsigned high = lead == 0xED ? 0x9F : 0xBF;
      length = tail(i + 1, low, high) && tail(i + 2, 0x80, 0xBF) ? 3 : 0;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      const unsigned low = lead == 0xF0 ? 0x90 : 0x80;
      const unsigned high = lead == 0xF4 ? 0x8F : 0xBF;
      length = tail(i + 1, low, high) && tail(i + 2, 0x80, 0xBF) && tail(i + 3, 0x80, 0xBF) ? 4 : 0;
    }
    if (length == 0) return i;
    i += length;
  }
  return std::nullopt;
}

// What is not well-formed becomes U+FFFD, a byte each.
inline std::string WithoutFaults(std::string_view bytes) {
  std::string text;
  while (const auto fault = FirstNotUtf8(bytes)) {
    text += bytes.substr(0, *fault);
    AppendUtf8(U'\uFFFD', text);
    bytes.remove_prefix(*fault + 1);
  }
  text += bytes;
  return text;
}

}  // namespace carrel::retrieval::extract
