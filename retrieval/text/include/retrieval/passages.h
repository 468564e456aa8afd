// A document's text cut into what is embedded (sub-passages) and what is returned (enclosing passages).
//
// A sub-passage is whole sentences, as many as fit the model's window, and stands under one heading. Sub-passages
// follow each other without overlap and cover the body, so each is embedded once. An enclosing passage is a run of
// consecutive sub-passages of at most max_tokens; neighbours share as many whole sub-passages as fit overlap_tokens.
//
// Pure and deterministic; thread-safe as far as the counter is.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "retrieval/document_text.h"

namespace carrel::retrieval {

// Tokens of a text (UTF-8) without the model's special tokens.
using TokenCounter = std::function<uint32_t(std::string_view text)>;

struct ChunkingOptions {
  uint32_t max_tokens = 800;      // of an enclosing passage
  uint32_t overlap_tokens = 400;  // at most half of max_tokens
  // Tokens of text that the model reads at once: its window without special tokens and what is put before the text.
  uint32_t window_tokens = 254;
};

struct SubPassage {
  Span span;  // begins and ends with something visible
  uint32_t tokens = 0;
  int heading = -1;  // index into ExtractedDocument::headings: the one that it stands under
};

struct Passage {
  Span span;
  uint32_t tokens = 0;
  uint32_t first_sub = 0;  // [first_sub, last_sub) of Chunks::sub_passages
  uint32_t last_sub = 0;
  int heading = -1;  // of its first sub-passage
};

struct Chunks {
  std::vector<SubPassage> sub_passages;
  std::vector<Passage> passages;
};

// INVALID_ARGUMENT when the options contradict each other (max_tokens or window_tokens < 16, overlap > half).
[[nodiscard]] absl::StatusOr<Chunks> Chunk(const ExtractedDocument& document, const ChunkingOptions& options,
                                           const TokenCounter& count_tokens);

// The enclosing passage in which sub-passage `sub` stands most nearly in the middle.
[[nodiscard]] uint32_t EnclosingPassage(const Chunks& chunks, uint32_t sub);

// The sentences of text[span], in order, without the white space around them (ICU's rules, English abbreviations
// known). Paragraph breaks end a sentence; single line breaks do not.
[[nodiscard]] std::vector<Span> Sentences(std::u32string_view text, Span span);

}  // namespace carrel::retrieval
