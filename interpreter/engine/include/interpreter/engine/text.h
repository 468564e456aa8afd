// Between std::string_view and Debian's absl, which was built with a string_view of its own.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace carrel::interpreter {

[[nodiscard]] inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }

namespace text_internal {

template <typename T>
decltype(auto) Argument(const T& value) {
  if constexpr (std::is_same_v<T, std::string_view>) {
    return ToAbsl(value);
  } else {
    return (value);
  }
}

}  // namespace text_internal

// absl::StrCat that also takes std::string_view.
template <typename... Args>
[[nodiscard]] std::string StrCat(const Args&... args) {
  return absl::StrCat(text_internal::Argument(args)...);
}

}  // namespace carrel::interpreter
