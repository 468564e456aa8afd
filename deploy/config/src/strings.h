// Debian builds Abseil with a string_view of its own, which std::string_view does not turn into by itself. These take
// both, so that our interfaces can stay with the standard one. (rpc_kit and carrel_cli have the
// same in theirs: rpc_kit and config know nothing of each other, and thirty lines that work around something are not
// worth an edge in the graph.)
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace carrel::config {

[[nodiscard]] inline absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }

template <typename T>
decltype(auto) Piece(const T& part) {
  if constexpr (std::is_same_v<T, std::string_view>) {
    return absl::string_view(part.data(), part.size());
  } else {
    return (part);
  }
}

template <typename... Parts>
[[nodiscard]] std::string StrCat(const Parts&... parts) {
  return absl::StrCat(Piece(parts)...);
}

template <typename... Parts>
void StrAppend(std::string* text, const Parts&... parts) {
  absl::StrAppend(text, Piece(parts)...);
}

// The parts (texts or numbers) with `separator` between them.
template <typename Parts>
[[nodiscard]] std::string Join(const Parts& parts, std::string_view separator) {
  std::string text;
  for (const auto& part : parts) {
    if (!text.empty()) text += separator;
    StrAppend(&text, part);
  }
  return text;
}

}  // namespace carrel::config
