// Block-max MaxScore over Postings, and a plain pass over PostingsTail.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "retrieval/postings.h"
#include "term_counts.h"
#include "views.h"

namespace carrel::retrieval {
namespace {

constexpr size_t kTermsMax = 64;  // more make a question no clearer, and each costs
constexpr uint32_t kEnd = std::numeric_limits<uint32_t>::max();
// Sums of floats in another order differ a little; a bound that is missed by that is no bound.
constexpr float kSlack = 1.0001F;
// Allowed positions up to which they are looked up one by one: below, no threshold rises and nothing is skipped.
constexpr uint32_t kSparse = 64;
// Positions that are scored at once: their sums lie in the first cache.
constexpr uint32_t kWindow = 4096;
constexpr uint32_t kWordBits = 64;

// The best `count` of what is offered.
class Best {
 public:
  explicit Best(size_t count) : count_(count) { heap_.reserve(count); }
  // What a score must exceed to be taken.
  [[nodiscard]] float threshold() const { return heap_.size() < count_ ? 0 : heap_.front().bm25; }
  void Offer(uint32_t position, float score) {
    const TermScore one{position, score};
    if (heap_.size() < count_) {
      heap_.push_back(one);
      std::push_heap(heap_.begin(), heap_.end(), Better);
    } else if (Better(one, heap_.front())) {
      std::pop_heap(heap_.begin(), heap_.end(), Better);
      heap_.back() = one;
      std::push_heap(heap_.begin(), heap_.end(), Better);
    }
  }
  std::vector<TermScore> Take() {
    std::sort_heap(heap_.begin(), heap_.end(), Better);
    return std::move(heap_);
  }

 private:
  static bool Better(const TermScore& a, const TermScore& b) {
    return a.bm25 != b.bm25 ? a.bm25 > b.bm25 : a.position < b.position;
  }
  const size_t count_;
  std::vector<TermScore> heap_;
};

}  // namespace

class PostingsSearch final {
 public:
  PostingsSearch(const Postings& base, const PostingsTail& tail, size_t count, const PositionSet* allowed)
      : base_(base), tail_(tail), allowed_(allowed), best_(count) {}

  std::vector<TermScore> Run(std::span<const std::string> terms) {
    const std::vector<Weighted> weighted = Weigh(terms);
    for (const Weighted& term : weighted) {
      if (term.number < 0) continue;
      const auto number = static_cast<size_t>(term.number);
      const uint32_t end = number + 1 < base_.terms_.size() ? base_.terms_[number + 1].first_block
                                                            : static_cast<uint32_t>(base_.blocks_.size());
      Cursor cursor(base_, base_.terms_[number].first_block, end, term.weight, base_.terms_[number].impact);
      if (cursor.position != kEnd) cursors_.push_back(cursor);
    }
    if (allowed_ != nullptr && allowed_->count() < base_.positions() / kSparse) {
      LookUp();
    } else {
      MaxScore();
    }
    PassOverTail(weighted);
    return best_.Take();
  }

 private:
  struct Weighted {
    std::string_view name;
    int64_t number = -1;  // in the base; -1: not there
    float weight = 0;
  };

  // Walks one term's postings; `shallow` is the block that a position would be in, without looking into it.
  struct Cursor {
    Cursor(const Postings& postings, uint32_t first, uint32_t last, float w, float term_impact)
        : base(&postings), block(first), end(last), shallow(first), weight(w), bound(w * term_impact * kSlack) {
      Settle(block < end ? base->blocks_[block].first : 0);
    }
    const Postings::Block& Current() const { return base->blocks_[block]; }
    void Settle(uint32_t i) {
      index = i;
      position = block < end ? Current().base + base->offsets_[i] : kEnd;
    }
    // To the first posting at or after `target`.
    void Seek(uint32_t target) {
      if (position >= target) return;
      block = BlockOf(block, target);
      if (block == end) return Settle(0);
      const Postings::Block& b = Current();
      if (b.base >= target) return Settle(b.first);
      const uint16_t* const offsets = base->offsets_.data();
      const auto wanted = static_cast<uint16_t>(target - b.base);
      const uint32_t from = std::max(index, b.first);
      Settle(static_cast<uint32_t>(std::lower_bound(offsets + from, offsets + b.first + b.count, wanted) - offsets));
    }
    // The first block from `from` on whose last position is not before `target`: galloping, then halving.
    uint32_t BlockOf(uint32_t from, uint32_t target) const {
      const auto before = [&](uint32_t i) { return base->blocks_[i].base + base->blocks_[i].span < target; };
      if (from >= end || !before(from)) return from;
      uint32_t step = 1, low = from;
      while (low + step < end && before(low + step)) {
        low += step;
        step *= 2;
      }
      uint32_t high = std::min(end, low + step);
      ++low;
      while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (before(middle)) {
          low = middle + 1;
        } else {
          high = middle;
        }
      }
      return low;
    }
    // At least what any of its postings in [begin, end) scores. `begin` never goes back.
    float WindowBound(uint32_t begin, uint32_t end_position) {
      shallow = BlockOf(std::max(shallow, block), begin);
      float most = 0;
      for (uint32_t i = shallow; i < end && base->blocks_[i].base < end_position; ++i) {
        most = std::max(most, base->blocks_[i].impact);
      }
      return most * weight * kSlack;
    }
    // Calls visit(position, score) for each posting before `end_position`, and stands behind them then.
    template <typename Visit>
    void VisitUntil(uint32_t end_position, Visit visit) {
      while (position < end_position) {
        const Postings::Block& b = Current();
        const uint32_t last = b.first + b.count;
        for (; index < last; ++index) {
          position = b.base + base->offsets_[index];
          if (position >= end_position) return;
          visit(position, Score());
        }
        ++block;
        Settle(block < end ? Current().first : 0);
      }
    }
    float Score() const { return weight * TermImpact(base->counts_[index], base->norms_[position]); }

    const Postings* base;
    uint32_t block, end, shallow;
    uint32_t index = 0;
    uint32_t position = kEnd;
    float weight, bound;
  };

  // The terms that are anywhere, with their inverse document frequencies.
  std::vector<Weighted> Weigh(std::span<const std::string> terms) const {
    const double passages = double{static_cast<double>(base_.positions())} + tail_.size();
    std::vector<Weighted> out;
    for (const std::string& term : terms) {
      const int64_t number = base_.Find(term);
      const auto in_tail = tail_.terms_.find(term);
      const double frequency = (number < 0 ? 0 : base_.terms_[static_cast<size_t>(number)].frequency) +
                               (in_tail == tail_.terms_.end() ? 0.0 : static_cast<double>(in_tail->second.size()));
      if (frequency == 0) continue;
      // A term in more than half of the passages says next to nothing, but not less than that.
      const double weight = std::max(1e-6, std::log((passages - frequency + 0.5) / (frequency + 0.5)));
      out.push_back({.name = term, .number = number, .weight = static_cast<float>(weight)});
    }
    std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.weight > b.weight; });
    if (out.size() > kTermsMax) out.resize(kTermsMax);
    return out;
  }

  bool Allowed(uint32_t position) const { return allowed_ == nullptr || allowed_->Has(position); }

  void LookUp() {
    allowed_->ForEach([&](uint32_t position) {
      if (position >= base_.positions()) return;
      float score = 0;
      for (Cursor& cursor : cursors_) {
        cursor.Seek(position);
        if (cursor.position == position) score += cursor.Score();
      }
      if (score > 0) best_.Offer(position, score);
    });
  }

  // A cursor in one window, with the highest score that it can add to a position there.
  struct Voice {
    float bound = 0;
    Cursor* cursor = nullptr;
  };

  // How many of `voices`, weakest first, are together not enough for a score above the threshold: what no other term
  // has is not among the best. `sums[i]`: what the first i can add.
  size_t Inessential(const std::vector<Voice>& voices, std::vector<float>& sums) const {
    sums.assign(1, 0);
    for (const Voice& voice : voices) sums.push_back(sums.back() + voice.bound);
    size_t count = 0;
    while (count < voices.size() && sums[count + 1] <= best_.threshold()) ++count;
    return count;
  }

  static bool Weaker(const Voice& a, const Voice& b) { return a.bound < b.bound; }

  // Window by window: the terms that matter there give their scores to all their positions; the others are looked up
  // only where that could be enough.
  void MaxScore() {
    std::vector<Voice> all, here;
    for (Cursor& cursor : cursors_) all.push_back({cursor.bound, &cursor});
    std::sort(all.begin(), all.end(), Weaker);
    std::vector<float> sums;
    for (uint32_t end = 0;;) {
      uint32_t begin = kEnd;
      for (size_t i = Inessential(all, sums); i < all.size(); ++i) {
        all[i].cursor->Seek(end);
        begin = std::min(begin, all[i].cursor->position);
      }
      if (begin == kEnd) return;
      end = kEnd - begin > kWindow ? begin + kWindow : kEnd;
      here.clear();
      for (Cursor& cursor : cursors_) {
        if (const float bound = cursor.WindowBound(begin, end); bound > 0) here.push_back({bound, &cursor});
      }
      std::sort(here.begin(), here.end(), Weaker);
      const size_t inessential = Inessential(here, sums);
      if (inessential == here.size()) continue;
      Accumulate(std::span(here).subspan(inessential), begin, end);
      OfferMarked(std::span(here).first(inessential), sums, begin);
    }
  }

  void Accumulate(std::span<const Voice> essential, uint32_t begin, uint32_t end) {
    for (const Voice& voice : essential) {
      voice.cursor->Seek(begin);
      voice.cursor->VisitUntil(end, [&](uint32_t position, float score) {
        const uint32_t at = position - begin;
        scores_[at] += score;
        marked_[at / kWordBits] |= uint64_t{1} << (at % kWordBits);
      });
    }
  }

  // Completes the scores of what Accumulate has marked, and forgets them. `sums` as Inessential gives them.
  void OfferMarked(std::span<const Voice> inessential, const std::vector<float>& sums, uint32_t begin) {
    for (uint32_t word = 0; word < marked_.size(); ++word) {
      for (uint64_t bits = std::exchange(marked_[word], 0); bits != 0; bits &= bits - 1) {
        const uint32_t at = word * kWordBits + static_cast<uint32_t>(std::countr_zero(bits));
        float score = std::exchange(scores_[at], 0);
        if (score + sums[inessential.size()] <= best_.threshold() || !Allowed(begin + at)) continue;
        for (size_t i = inessential.size(); i > 0 && score + sums[i] > best_.threshold(); --i) {
          Cursor& cursor = *inessential[i - 1].cursor;
          cursor.Seek(begin + at);
          if (cursor.position == begin + at) score += cursor.Score();
        }
        if (score > best_.threshold()) best_.Offer(begin + at, score);
      }
    }
  }

  void PassOverTail(const std::vector<Weighted>& terms) {
    if (tail_.size() == 0) return;
    std::vector<float> scores(tail_.size(), 0);
    for (const Weighted& term : terms) {
      const auto found = tail_.terms_.find(Sv(term.name));
      if (found == tail_.terms_.end()) continue;
      for (const PostingsTail::Posting& posting : found->second) {
        scores[posting.offset] += term.weight * TermImpact(posting.count, tail_.norms_[posting.offset]);
      }
    }
    for (uint32_t i = 0; i < scores.size(); ++i) {
      if (scores[i] > 0 && Allowed(tail_.first_ + i)) best_.Offer(tail_.first_ + i, scores[i]);
    }
  }

  const Postings& base_;
  const PostingsTail& tail_;
  const PositionSet* const allowed_;
  Best best_;
  std::vector<Cursor> cursors_;
  // Of the window: what has been found of each position, and where anything was.
  std::array<float, kWindow> scores_{};
  std::array<uint64_t, kWindow / kWordBits> marked_{};
};

std::vector<TermScore> SearchPostings(const Postings& base, const PostingsTail& tail,
                                      std::span<const std::string> terms, size_t count, const PositionSet* allowed) {
  if (count == 0) return {};
  return PostingsSearch(base, tail, count, allowed).Run(terms);
}

}  // namespace carrel::retrieval
