#include "png_file.h"

#include <png.h>

#include <new>

namespace carrel::retrieval::extract {

std::string EncodePng(const Pixels& pixels) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = pixels.width;
  image.height = pixels.height;
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string png(size, '\0');
  const int written = png_image_write_to_memory(&image, png.data(), &size, /*convert_to_8_bit=*/0, pixels.rgb,
                                                static_cast<png_int_32>(pixels.bytes_per_row), nullptr);
  png_image_free(&image);
  if (written == 0) throw std::bad_alloc();
  png.resize(size);
  return png;
}

}  // namespace carrel::retrieval::extract
