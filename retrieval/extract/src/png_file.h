// Pixels to the bytes of a PNG file, through libpng. The only file that includes it is png_file.cc.
#pragma once

#include <cstdint>
#include <string>

namespace carrel::retrieval::extract {

struct Pixels {
  const unsigned char* rgb;  // three bytes a pixel, rows from the top
  uint32_t width;
  uint32_t height;
  uint32_t bytes_per_row;
};

// 8 bits, RGB, not interlaced. Throws std::bad_alloc; also when libpng fails, which here has no other reason.
[[nodiscard]] std::string EncodePng(const Pixels& pixels);

}  // namespace carrel::retrieval::extract
