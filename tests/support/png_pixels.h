// A PNG file's pixels, for tests of what was drawn. Through libpng.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace carrel::testing {

struct Pixel {
  uint8_t red = 0;
  uint8_t green = 0;
  uint8_t blue = 0;
  bool operator==(const Pixel&) const = default;
};

struct PixelImage {
  uint32_t width = 0;
  uint32_t height = 0;
  std::vector<Pixel> pixels;  // rows from the top
  [[nodiscard]] const Pixel& At(uint32_t x, uint32_t y) const { return pixels[size_t{y} * width + x]; }
};

[[nodiscard]] absl::StatusOr<PixelImage> ReadPng(const std::string& bytes);

}  // namespace carrel::testing
