// Block-max WAND over Postings, and a plain pass over PostingsTail.
#include <algorithm>
#include <cmath>
#include <limits>

#include "retrieval/postings.h"
#include "term_counts.h"
#include "views.h"

namespace carrel::retrieval {
namespace {

constexpr size_t kTermsMax = 64;  // more make a question no clearer, and each costs
constexpr uint32_t kEnd = std::numeric_limits<uint32_t>::max();
// Sums of floats in another order differ a little; a bound that is missed by that is no bound.
constexpr float kSlack = 1.0001F;
// Allowed positions up to which they are looked up one by one: below, no threshold rises and WAND skips nothing.
constexpr uint32_t kSparse = 64;

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
      Wand();
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
    void Next() {
      if (index + 1 < Current().first + Current().count) return Settle(index + 1);
      ++block;
      Settle(block < end ? Current().first : 0);
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
    // The highest score at or after `target` within the block there, and that block's last position.
    std::pair<float, uint32_t> BlockBound(uint32_t target) {
      shallow = BlockOf(std::max(shallow, block), target);
      if (shallow >= end) return {0, kEnd};
      const Postings::Block& b = base->blocks_[shallow];
      // Between two blocks there is nothing of this term.
      if (b.base > target) return {0, b.base - 1};
      return {b.impact * weight * kSlack, b.base + b.span};
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

  // Cursors are kept in the order of their positions.
  void Wand() {
    std::sort(cursors_.begin(), cursors_.end(), ByPosition);
    while (true) {
      while (!cursors_.empty() && cursors_.back().position == kEnd) cursors_.pop_back();
      // The pivot: the first position at which all that may stand there could be enough.
      float bound = 0;
      size_t pivot = 0;
      for (; pivot < cursors_.size(); ++pivot) {
        bound += cursors_[pivot].bound;
        if (bound > best_.threshold()) break;
      }
      if (pivot == cursors_.size()) return;
      const uint32_t position = cursors_[pivot].position;
      while (pivot + 1 < cursors_.size() && cursors_[pivot + 1].position == position) ++pivot;

      float block_bound = 0;
      uint32_t until = kEnd;
      for (size_t i = 0; i <= pivot; ++i) {
        const auto [most, last] = cursors_[i].BlockBound(position);
        block_bound += most;
        until = std::min(until, last);
      }
      if (block_bound <= best_.threshold()) {
        uint32_t next = until == kEnd ? kEnd : until + 1;
        if (pivot + 1 < cursors_.size()) next = std::min(next, cursors_[pivot + 1].position);
        Advance(pivot, std::max(next, position + 1));
      } else if (cursors_.front().position == position) {
        if (Allowed(position)) {
          float score = 0;
          for (size_t i = 0; i <= pivot; ++i) score += cursors_[i].Score();
          best_.Offer(position, score);
        }
        for (size_t i = 0; i <= pivot; ++i) cursors_[i].Next();
        Restore(pivot + 1);
      } else {
        Advance(pivot, position);
      }
    }
  }

  static bool ByPosition(const Cursor& a, const Cursor& b) { return a.position < b.position; }

  // Moves the cursor that skips most (the rarest term's) of those before the pivot's position, or at it.
  void Advance(size_t pivot, uint32_t target) {
    size_t chosen = pivot + 1;
    for (size_t i = 0; i <= pivot; ++i) {
      if (cursors_[i].position < target && (chosen > pivot || cursors_[i].weight > cursors_[chosen].weight)) chosen = i;
    }
    if (chosen > pivot) return;
    cursors_[chosen].Seek(target);
    for (size_t i = chosen; i + 1 < cursors_.size() && ByPosition(cursors_[i + 1], cursors_[i]); ++i) {
      std::swap(cursors_[i], cursors_[i + 1]);
    }
  }

  // Sorts the first `moved` cursors back in.
  void Restore(size_t moved) {
    for (size_t i = moved; i-- > 0;) {
      for (size_t j = i; j + 1 < cursors_.size() && ByPosition(cursors_[j + 1], cursors_[j]); ++j) {
        std::swap(cursors_[j], cursors_[j + 1]);
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
};

std::vector<TermScore> SearchPostings(const Postings& base, const PostingsTail& tail,
                                      std::span<const std::string> terms, size_t count, const PositionSet* allowed) {
  if (count == 0) return {};
  return PostingsSearch(base, tail, count, allowed).Run(terms);
}

}  // namespace carrel::retrieval
