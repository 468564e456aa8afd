// The port to an embedding model: texts to unit vectors.
//
// Thread-safety: every method may be called from any thread; implementations bound their own threads.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace carrel::retrieval {

enum class TextRole : uint8_t { kPassage, kQuery };

struct Embedding {
  std::vector<float> values;  // unit length
  uint32_t tokens = 0;        // that were embedded, special ones included
  bool truncated = false;     // the text was longer than the window
};

// What a model's cosines say. They do not begin at 0: to any question some passage has half of the cosine that the best
// answer has, and each model has a scale of its own. Confidence is a logistic curve over the best cosine of a search.
struct Calibration {
  double half = 0;   // the cosine at which it is one half: as many questions without an answer get it as with one
  double width = 1;  // from there to 0.73; over 0

  // 0 to 1, growing with the cosine: how sure it is that there is an answer at all.
  [[nodiscard]] double Confidence(double cosine) const { return 1 / (1 + std::exp((half - cosine) / width)); }
};

class Embedder {
 public:
  virtual ~Embedder() = default;
  [[nodiscard]] virtual const std::string& name() const = 0;
  // Another name to ask for it by ("fast"); "": none.
  [[nodiscard]] virtual const std::string& alias() const = 0;
  [[nodiscard]] virtual const std::string& licence() const = 0;
  [[nodiscard]] virtual uint32_t dimensions() const = 0;
  // Tokens that fit, special ones included.
  [[nodiscard]] virtual uint32_t window_tokens() const = 0;
  // Tokens of a text, special ones not included.
  [[nodiscard]] virtual size_t CountTokens(std::string_view utf8) const = 0;
  // Texts that are best given at once by who has many: more are no faster, and cannot be stopped in between.
  [[nodiscard]] virtual uint32_t batch() const = 0;
  // None: nobody has measured it.
  [[nodiscard]] virtual std::optional<Calibration> calibration() const { return std::nullopt; }
  // One embedding per text, in order. A query does not wait behind passages. INTERNAL: the runtime failed.
  [[nodiscard]] virtual absl::StatusOr<std::vector<Embedding>> Embed(std::span<const std::string_view> texts,
                                                                     TextRole role) = 0;
};

// The one of `embedders` with this name or alias; null: none.
[[nodiscard]] inline Embedder* FindEmbedder(std::span<Embedder* const> embedders, std::string_view name) {
  for (Embedder* const embedder : embedders) {
    if (name == embedder->name() || (!name.empty() && name == embedder->alias())) return embedder;
  }
  return nullptr;
}

}  // namespace carrel::retrieval
