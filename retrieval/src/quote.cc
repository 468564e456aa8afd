#include "quote.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "retrieval/passages.h"
#include "retrieval/terms.h"

namespace carrel::retrieval {
namespace {

// About four sentences or eight lines of a column: what is read at a glance.
constexpr uint32_t kQuoteCharsMax = 500;
constexpr size_t kTermsMax = 64;
constexpr double kSentenceCost = 0.05;  // of all that the question asks for

// A sentence or a line, and which of the question's terms it has.
struct Unit {
  Span span;
  uint64_t terms = 0;
};

void AddLines(std::u32string_view text, Span span, std::vector<Unit>& out) {
  for (uint32_t begin = span.begin; begin < span.end;) {
    const size_t found = text.substr(0, span.end).find(U'\n', begin);
    const uint32_t end = found == text.npos ? span.end : static_cast<uint32_t>(found);
    if (end > begin) out.push_back({.span = {begin, end}});
    begin = end + 1;
  }
}

// What is too long to be quoted whole and has no sentences in it, as tables and code have none, goes by its lines.
std::vector<Unit> UnitsOf(std::u32string_view text) {
  std::vector<Unit> out;
  for (const Span& sentence : Sentences(text, {0, static_cast<uint32_t>(text.size())})) {
    if (sentence.size() > kQuoteCharsMax) {
      AddLines(text, sentence, out);
    } else {
      out.push_back({.span = sentence});
    }
  }
  return out;
}

// For each term: what it says of where the answer is.
std::vector<double> Weights(const std::vector<Unit>& units, size_t terms) {
  std::vector<double> out(terms);
  for (size_t t = 0; t < terms; ++t) {
    const auto having =
        std::count_if(units.begin(), units.end(), [&](const Unit& unit) { return (unit.terms >> t & 1) != 0; });
    if (having > 0) out[t] = std::log(1 + static_cast<double>(units.size()) / static_cast<double>(having));
  }
  return out;
}

double Sum(uint64_t terms, const std::vector<double>& weights) {
  double out = 0;
  for (; terms != 0; terms &= terms - 1) out += weights[static_cast<size_t>(std::countr_zero(terms))];
  return out;
}

}  // namespace

Span NarrowToQuote(std::string_view text, Span span, const std::vector<std::string>& terms) {
  const absl::StatusOr<std::u32string> characters = FromUtf8(text);
  if (!characters.ok()) return span;
  std::vector<Unit> units = UnitsOf(*characters);
  absl::flat_hash_map<std::string, size_t> numbers;
  for (size_t t = 0; t < std::min(terms.size(), kTermsMax); ++t) numbers.emplace(terms[t], t);
  uint64_t all = 0;
  for (Unit& unit : units) {
    for (const std::string& term :
         Terms(ToUtf8(std::u32string_view(*characters).substr(unit.span.begin, unit.span.size())))) {
      if (const auto known = numbers.find(term); known != numbers.end()) unit.terms |= uint64_t{1} << known->second;
    }
    all |= unit.terms;
  }
  if (all == 0) return span;

  const std::vector<double> weights = Weights(units, std::min(terms.size(), kTermsMax));
  const double most = Sum(all, weights);
  Span best;
  double best_score = -1;
  for (size_t begin = 0; begin < units.size(); ++begin) {
    uint64_t here = 0;
    for (size_t end = begin; end < units.size(); ++end) {
      const Span run{units[begin].span.begin, units[end].span.end};
      if (end > begin && run.size() > kQuoteCharsMax) break;
      here |= units[end].terms;
      // Of two runs that say as much the shorter; a sentence more has to bring something.
      const double score = Sum(here, weights) / most - kSentenceCost * static_cast<double>(end - begin);
      if (score <= best_score) continue;
      best_score = score;
      best = run;
    }
  }
  return {span.begin + best.begin, span.begin + best.end};
}

}  // namespace carrel::retrieval
