// errno becomes an absl::Status here and nowhere else.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace carrel {

// "what: the error's text", with the code that absl::ErrnoToStatusCode gives.
[[nodiscard]] absl::Status ErrnoStatus(int error, std::string_view what);

}  // namespace carrel
