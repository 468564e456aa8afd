// A set of positions in a store's index: which passages may be found.
//
// Positions are numbers from 0, given in the order in which passages were added. Not thread-safe.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace carrel::retrieval {

class PositionSet final {
 public:
  explicit PositionSet(uint32_t size = 0) { Resize(size); }

  // Positions from `size` on are forgotten, new ones are not in the set.
  void Resize(uint32_t size) {
    if (size < size_) RemoveRange(size, size_);
    words_.resize((size_t{size} + 63) / 64, 0);
    size_ = size;
  }
  void Add(uint32_t position) { AddRange(position, position + 1); }
  void AddRange(uint32_t begin, uint32_t end) {
    Change(begin, end, [](uint64_t& word, uint64_t mask) { word |= mask; });
  }
  void RemoveRange(uint32_t begin, uint32_t end) {
    Change(begin, end, [](uint64_t& word, uint64_t mask) { word &= ~mask; });
  }
  // Both must have the same size.
  void IntersectWith(const PositionSet& other) {
    Combine(other, [](uint64_t a, uint64_t b) { return a & b; });
  }
  void UniteWith(const PositionSet& other) {
    Combine(other, [](uint64_t a, uint64_t b) { return a | b; });
  }
  void Complement() {
    for (uint64_t& word : words_) word = ~word;
    if (size_ % 64 != 0) words_.back() &= (uint64_t{1} << (size_ % 64)) - 1;
    count_ = size_ - count_;
  }

  [[nodiscard]] bool Has(uint32_t position) const { return (words_[position / 64] >> (position % 64) & 1) != 0; }
  [[nodiscard]] uint32_t size() const { return size_; }    // positions that there are
  [[nodiscard]] uint32_t count() const { return count_; }  // that are in the set

  // In ascending order.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (size_t i = 0; i < words_.size(); ++i) {
      for (uint64_t word = words_[i]; word != 0; word &= word - 1) {
        visit(static_cast<uint32_t>(i * 64 + static_cast<size_t>(std::countr_zero(word))));
      }
    }
  }

 private:
  template <typename Apply>
  void Change(uint32_t begin, uint32_t end, Apply apply) {
    end = std::min(end, size_);
    while (begin < end) {
      const uint32_t stop = std::min(end, (begin / 64 + 1) * 64);
      const uint32_t width = stop - begin;
      const uint64_t mask = (width == 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1) << (begin % 64);
      uint64_t& word = words_[begin / 64];
      const int before = std::popcount(word);
      apply(word, mask);
      count_ = static_cast<uint32_t>(static_cast<int64_t>(count_) + std::popcount(word) - before);
      begin = stop;
    }
  }
  template <typename Merge>
  void Combine(const PositionSet& other, Merge merge) {
    count_ = 0;
    for (size_t i = 0; i < words_.size(); ++i) {
      words_[i] = merge(words_[i], other.words_[i]);
      count_ += static_cast<uint32_t>(std::popcount(words_[i]));
    }
  }

  std::vector<uint64_t> words_;
  uint32_t size_ = 0;
  uint32_t count_ = 0;
};

}  // namespace carrel::retrieval
