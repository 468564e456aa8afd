// Sentence borders by ICU.
#pragma once

#include <unicode/brkiter.h>

#include <memory>
#include <string_view>
#include <vector>

#include "retrieval/document_text.h"

namespace carrel::retrieval {

// Owns a break iterator, which is dear to make. Not thread-safe.
class SentenceSplitter final {
 public:
  SentenceSplitter();
  // As Sentences() in passages.h.
  [[nodiscard]] std::vector<Span> Split(std::u32string_view text, Span span);

 private:
  void SplitParagraph(std::u32string_view text, Span span, std::vector<Span>& out);
  std::unique_ptr<icu::BreakIterator> breaks_;
};

}  // namespace carrel::retrieval
