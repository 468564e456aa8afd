// Debian's Abseil is built with its own string_view. This is the one bridge to it.
#pragma once

#include <string_view>

#include "absl/strings/string_view.h"

namespace carrel::retrieval {

inline absl::string_view Sv(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace carrel::retrieval
