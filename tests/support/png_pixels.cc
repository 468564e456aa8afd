#include "png_pixels.h"

#include <png.h>

#include "absl/status/status.h"

namespace carrel::testing {

absl::StatusOr<PixelImage> ReadPng(const std::string& bytes) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) == 0) {
    return absl::DataLossError(image.message);
  }
  image.format = PNG_FORMAT_RGB;
  static_assert(sizeof(Pixel) == 3);
  PixelImage out{.width = image.width, .height = image.height};
  out.pixels.resize(size_t{image.width} * image.height);
  if (png_image_finish_read(&image, nullptr, out.pixels.data(), 0, nullptr) == 0) {
    return absl::DataLossError(image.message);
  }
  return out;
}

}  // namespace carrel::testing
