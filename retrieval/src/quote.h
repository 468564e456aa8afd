// What of a sub-passage is quoted.
//
// A sub-passage is as many sentences as are embedded together, some fifteen by default; who reads an answer wants the
// few that say it. They are found by the question's words: the run of sentences that has most of them, words counting
// the more the fewer sentences of the sub-passage have them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "retrieval/types.h"

namespace carrel::retrieval {

// `text` is the sub-passage at `span` of a document; `terms` are the question's (QueryTerms), of which the first 64
// count. A part of `span` that begins and ends with a sentence (of rows of tables and code: a line); all of it where
// none has a term, because then it was found by what it means, and which part of it means that is not known.
[[nodiscard]] Span NarrowToQuote(std::string_view text, Span span, const std::vector<std::string>& terms);

}  // namespace carrel::retrieval
