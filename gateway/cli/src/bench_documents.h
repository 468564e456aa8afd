// Documents for carrel bench search: English-like prose of any length, the same on every machine, in several types.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace carrel::cli {

struct BenchDocument {
  std::string file_name;
  std::string bytes;
};

// Paragraph `number`: about 70 words in sentences, with the frequencies of a natural vocabulary (Zipf), one word in
// twelve a rare one.
[[nodiscard]] std::string BenchParagraph(uint64_t number);
// A few words of such a paragraph, and a few that stand anywhere.
[[nodiscard]] std::string BenchQuestion(uint64_t number);

// Types that MakeBenchDocument knows, without the dot.
[[nodiscard]] std::vector<std::string> BenchDocumentTypes();
// `pages` pages of five paragraphs, from paragraph `first` on. INVALID_ARGUMENT: another type.
[[nodiscard]] absl::StatusOr<BenchDocument> MakeBenchDocument(std::string_view type, uint64_t first, uint32_t pages);

}  // namespace carrel::cli
