// What the model reads about the outcome of its built-in tool calls.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/types/tool.h"

namespace carrel::gateway {

// Longer text is cut in its middle: what a program prints first and last says most.
inline constexpr std::size_t kToolTextBytesMax = 32 * 1024;

// `state_lost`: the container's variables are gone.
[[nodiscard]] std::string CodeText(const ToolCall& call, bool state_lost);

// "【i:j†name】": the j-th result (from 0) of the i-th search of the run.
[[nodiscard]] std::string Marker(int search, std::size_t result, std::string_view file_name);

// The passages, each under its marker, and how to cite them.
[[nodiscard]] std::string SearchText(int search, const std::vector<SearchResult>& results);

// At most `bytes_max`, no character cut, with a note of what is missing.
[[nodiscard]] std::string CutMiddle(std::string_view text, std::size_t bytes_max);

}  // namespace carrel::gateway
