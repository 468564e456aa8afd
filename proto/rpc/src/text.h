// Text that may hold anything, made fit for a status message or a log line.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace carrel::rpc {

// The length of the valid UTF-8 sequence at the start of `text` (no overlong forms, no surrogates); 0: there is none.
[[nodiscard]] size_t Utf8SequenceLength(std::string_view text);

// At most `bytes_max` bytes of `text`, what is not UTF-8 as U+FFFD, no character cut; "…" marks what was left out.
[[nodiscard]] std::string CleanUtf8(std::string_view text, size_t bytes_max);

}  // namespace carrel::rpc
