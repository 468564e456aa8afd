#include "retrieval/text_sketch.h"

#include <algorithm>

namespace carrel::retrieval {
namespace {

constexpr size_t kRun = 12;           // bytes: two or three words, or four characters of Han
constexpr uint64_t kSampleEvery = 8;  // of the hashes: enough for a passage, and cheap
constexpr size_t kWholeMax = 256;     // bytes up to which every hash is taken
constexpr double kNearlyEqual = 0.9;

uint64_t Scramble(uint64_t value) {
  value ^= value >> 31;
  value *= 0x7fb5d329728ea185;
  value ^= value >> 27;
  value *= 0x81dadef4bc2dd44d;
  return value ^ (value >> 33);
}

}  // namespace

TextSketch::TextSketch(std::string_view utf8) {
  std::string bare;
  for (const char c : utf8) {
    if (c >= 'A' && c <= 'Z') {
      bare.push_back(static_cast<char>(c - 'A' + 'a'));
    } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (static_cast<unsigned char>(c) & 0x80) != 0) {
      bare.push_back(c);
    }
  }
  // A rolling polynomial: the byte that leaves is taken off with kMultiplier to the power of kRun.
  constexpr uint64_t kMultiplier = 0x100000001b3;
  uint64_t power = 1, hash = 0;
  for (size_t i = 0; i < kRun; ++i) power *= kMultiplier;
  for (size_t i = 0; i < bare.size(); ++i) {
    hash = hash * kMultiplier + static_cast<unsigned char>(bare[i]) + 1;
    if (i >= kRun) hash -= power * (static_cast<uint64_t>(static_cast<unsigned char>(bare[i - kRun])) + 1);
    if (i + 1 < kRun && i + 1 < bare.size()) continue;
    const uint64_t mixed = Scramble(hash);
    if (bare.size() <= kWholeMax || mixed % kSampleEvery == 0) hashes_.push_back(mixed);
  }
  std::sort(hashes_.begin(), hashes_.end());
  hashes_.erase(std::unique(hashes_.begin(), hashes_.end()), hashes_.end());
}

bool TextSketch::NearlyEquals(const TextSketch& other) const {
  const size_t small = std::min(hashes_.size(), other.hashes_.size());
  const size_t large = std::max(hashes_.size(), other.hashes_.size());
  if (static_cast<double>(small) < kNearlyEqual * static_cast<double>(large)) return false;
  size_t both = 0;
  for (auto a = hashes_.begin(), b = other.hashes_.begin(); a != hashes_.end() && b != other.hashes_.end();) {
    if (*a == *b)
      ++both, ++a, ++b;
    else if (*a < *b)
      ++a;
    else
      ++b;
  }
  return static_cast<double>(both) >= kNearlyEqual * static_cast<double>(hashes_.size() + other.hashes_.size() - both);
}

}  // namespace carrel::retrieval
