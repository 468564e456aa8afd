// The keyword leg's terms: what of a text is looked up.
//
// Words by ICU's word breaks; case and accents folded (NFKC case folding, then non-spacing marks off); English words
// stemmed (Snowball); runs of scripts without spaces (Han, kana, Hangul, Thai, Lao, Khmer, Myanmar) as overlapping
// bigrams. Documents and queries go through the same function, so they meet.
// Thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace carrel::retrieval {

// Terms in order, with repeats. A term is non-empty valid UTF-8 without ASCII white space, quotes or punctuation
// (characters of that kind inside a word, as in 3.5, are moved to the private use area).
[[nodiscard]] std::vector<std::string> Terms(std::string_view utf8);

// The distinct terms of a query, function words ("what", "the", "is") left out unless there is nothing else.
[[nodiscard]] std::vector<std::string> QueryTerms(std::string_view utf8);

// Joined by spaces, as the index stores them.
[[nodiscard]] std::string JoinTerms(const std::vector<std::string>& terms);

}  // namespace carrel::retrieval
