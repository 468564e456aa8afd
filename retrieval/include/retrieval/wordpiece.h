// WordPiece with BERT's normaliser (clean, CJK apart, accents off, lower case) and pre-tokenizer, as Hugging Face's
// tokenizers library does it; tests hold it against that library's output on hostile strings.
//
// One deliberate difference: "[CLS]" and the like in a text are plain characters, never control tokens: documents
// are not to be able to speak to the model in its own signs.
//
// Thread-safety: const methods may be called from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

namespace carrel::retrieval {

class WordPiece final {
 public:
  // Reads a tokenizer.json of type WordPiece with a lower-casing BertNormalizer. Its truncation and padding settings
  // are ignored. FAILED_PRECONDITION: another kind of tokenizer, or a damaged file.
  [[nodiscard]] static absl::StatusOr<WordPiece> Load(const std::string& tokenizer_json_path);

  // Ids of the text without special tokens. Invalid UTF-8 is treated as U+FFFD, which the normaliser drops.
  [[nodiscard]] std::vector<int32_t> Encode(std::string_view utf8) const;
  [[nodiscard]] int32_t cls() const { return cls_; }
  [[nodiscard]] int32_t sep() const { return sep_; }
  [[nodiscard]] int32_t pad() const { return pad_; }

 private:
  WordPiece() = default;
  void AppendWord(std::string_view word, uint32_t characters, std::vector<int32_t>& ids) const;

  absl::flat_hash_map<std::string, int32_t> starts_;         // pieces that begin a word
  absl::flat_hash_map<std::string, int32_t> continuations_;  // pieces after "##"
  size_t longest_piece_bytes_ = 0;
  int32_t unknown_ = 0, cls_ = 0, sep_ = 0, pad_ = 0;
};

}  // namespace carrel::retrieval
