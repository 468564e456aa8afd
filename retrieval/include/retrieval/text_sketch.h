// Whether two texts are nearly the same, in any script, without comparing them letter by letter.
//
// A sketch is a sample of the hashes of all runs of 12 bytes of the text, ASCII letters folded and everything of ASCII
// that is neither letter nor digit left out; two texts are nearly equal when nine tenths of both samples' union are in
// both (Broder's resemblance, 1997). Texts too short for that are compared whole.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace carrel::retrieval {

class TextSketch final {
 public:
  explicit TextSketch(std::string_view utf8);
  [[nodiscard]] bool NearlyEquals(const TextSketch& other) const;

 private:
  std::vector<uint64_t> hashes_;  // ascending, distinct
};

}  // namespace carrel::retrieval
