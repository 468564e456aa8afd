// Random numbers that a seed decides, the same on every machine.
#pragma once

#include <cmath>
#include <cstdint>

namespace carrel::cli {

// splitmix64: the standard library's distributions differ between its versions.
class SeededRandom final {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t n) { return Next() % n; }
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  // Of a mean of 0 and a variance of 1.
  float Normal() {
    const double u = 1 - Unit(), v = Unit();
    return static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(2 * M_PI * v));
  }

 private:
  uint64_t state_;
};

}  // namespace carrel::cli
