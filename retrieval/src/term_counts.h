// The terms of one passage, counted; shared by the two halves of the postings.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace carrel::retrieval {

// A word in the title or a heading counts as much as two in the text.
inline constexpr uint32_t kHeadingTermWeight = 2;

struct TermCounts {
  absl::flat_hash_map<absl::string_view, uint32_t> counts;  // headings weighted; views of what was counted
  uint32_t length = 0;                                      // terms, each once
};

// `heading` and `body` as JoinTerms gives them.
void CountTerms(std::string_view heading, std::string_view body, TermCounts& out);

inline constexpr double kBm25K1 = 1.2;

// BM25 of a term but for its weight, by how often it stands in the passage and the passage's length norm.
[[nodiscard]] inline float TermImpact(uint8_t count, float norm) {
  constexpr float kMost = kBm25K1 + 1;
  return static_cast<float>(count) * kMost / (static_cast<float>(count) + norm);
}

}  // namespace carrel::retrieval
