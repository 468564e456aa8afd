// A corpus of any size for benchmarks: texts with the vocabulary and the word order of English abstracts, and vectors
// that lie as those of texts do. Deterministic: the same numbers give the same corpus on every machine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace carrel::bench {

class Corpus final {
 public:
  // Learns which word follows which from the Cranfield collection below `testdata`.
  explicit Corpus(const std::string& testdata);

  // A paragraph of about 70 words. One word in sixteen is a rare one (of a hundred thousand, unevenly), so that the
  // vocabulary grows with the corpus as that of a language does.
  [[nodiscard]] std::string Paragraph(uint64_t number) const;
  // The questions of the collection.
  [[nodiscard]] const std::vector<std::string>& questions() const { return questions_; }

 private:
  std::vector<std::string> words_;
  std::vector<std::vector<uint32_t>> followers_;  // by word, repeated as often as seen
  std::vector<std::string> questions_;
};

// Unit vectors of 384 numbers from 48 latent ones, in 500 clusters: about as many directions as embeddings of texts
// really have.
class Vectors final {
 public:
  static constexpr uint32_t kDimensions = 384;
  Vectors();
  [[nodiscard]] std::vector<float> Of(uint64_t number) const;
  [[nodiscard]] std::vector<float> OfText(std::string_view text) const;

 private:
  std::vector<float> basis_;    // latent x dimensions
  std::vector<float> centres_;  // clusters x latent
};

}  // namespace carrel::bench
