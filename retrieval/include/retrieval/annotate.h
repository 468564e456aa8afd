// Finds the markers 【i:j†name】 that a model wrote into its answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "retrieval/document_text.h"

namespace carrel::retrieval {

struct Marker {
  Span span;         // code points of the answer
  std::string text;  // as written
  // j, when it is below the number of hits; unset: the marker names no hit. (i is the step of the conversation that
  // searched, which the caller knows and we do not.)
  std::optional<uint32_t> hit;
};

// `utf8` must be valid UTF-8. What only looks like a marker (no number, no closing bracket within 512 bytes, another
// one inside) is left alone. In order; no two overlap.
[[nodiscard]] std::vector<Marker> FindMarkers(std::string_view utf8, uint32_t hits);

}  // namespace carrel::retrieval
