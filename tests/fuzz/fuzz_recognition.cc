// What character recognition says of a picture. Promised: words are within the page and are whole characters, or
// nothing is changed.
#include "fuzzer.h"
#include "recognised_words.h"

namespace carrel::fuzz {

void Target(std::string_view input) {
  constexpr uint32_t kWordsMax = 50;
  retrieval::RawPage page{.number = 1, .width = 600, .height = 800};
  const absl::Status status = retrieval::PutRecognisedWords(input, {.width = 1200, .height = 1600}, kWordsMax, page);
  if (!status.ok()) {
    FUZZ_CHECK(page.words.empty() && page.chars.empty());
    return;
  }
  FUZZ_CHECK(page.words.size() <= kWordsMax);
  uint32_t end = 0;
  for (const retrieval::RawWord& word : page.words) {
    FUZZ_CHECK(word.chars.begin == end && word.chars.end > end);
    end = word.chars.end;
    FUZZ_CHECK(word.box.x_min >= 0 && word.box.x_min <= word.box.x_max && word.box.x_max <= page.width);
    FUZZ_CHECK(word.box.y_min >= 0 && word.box.y_min <= word.box.y_max && word.box.y_max <= page.height);
  }
  FUZZ_CHECK(end == page.chars.size());
}

}  // namespace carrel::fuzz
