// The little text handling that policies and kernel files need. (Debian's absl is built with its own string_view, which
// std::string_view does not convert to; so its string functions are of no use here.)
#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace carrel::sandbox {

namespace text_internal {
inline void Append(std::string& to, const char* part) { to.append(part); }
// Any string or view, absl's too.
template <typename Text>
requires requires(const Text& text) { text.data() + text.size(); }
void Append(std::string& to, const Text& part) { to.append(part.data(), part.size()); }
inline void Append(std::string& to, std::integral auto number) { to.append(std::to_string(number)); }
}  // namespace text_internal

// Strings and integers, one after the other.
template <typename... Parts>
[[nodiscard]] std::string Concat(const Parts&... parts) {
  std::string result;
  (text_internal::Append(result, parts), ...);
  return result;
}

[[nodiscard]] inline std::string_view Strip(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

// What is between the separators, which are single characters of `separators`; empty pieces too.
[[nodiscard]] inline std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  while (true) {
    const size_t end = text.find(separator);
    pieces.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return pieces;
    text.remove_prefix(end + 1);
  }
}

// Split at blanks, without empty pieces.
[[nodiscard]] inline std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  for (text = Strip(text); !text.empty(); text = Strip(text)) {
    const size_t end = text.find_first_of(" \t");
    words.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end);
  }
  return words;
}

// The whole of `text` as an unsigned number; nullopt when it is anything else or does not fit.
[[nodiscard]] inline std::optional<uint64_t> Number(std::string_view text, int base = 10) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace carrel::sandbox
