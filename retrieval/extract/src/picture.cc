#include "picture.h"

#include <poppler-image.h>
#include <poppler-page-renderer.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "last_words.h"
#include "pdf_file.h"
#include "png_file.h"

namespace carrel::retrieval::extract {
namespace {

using wire::ExtractLimit;
using wire::ExtractVerdict;

// A text marker's yellow, red first.
constexpr std::array<unsigned, 3> kMarker = {255, 233, 92};
// Darker paper than that is not dyed but lightened: a marker does not show on black.
constexpr unsigned kDarkPaper = 110;

// Points above and below: some fonts' letters reach farther than the font says.
constexpr double kPadding = 0.75;

struct PixelBox {
  int x_min;
  int y_min;
  int x_max;  // exclusive
  int y_max;
};

// Outwards to whole pixels, within the picture; false: nothing of it is.
bool ToPixels(const wire::PictureBox& box, double scale, const poppler::image& image, PixelBox& out) {
  for (const float value : {box.x_min, box.y_min, box.x_max, box.y_max}) {
    if (!std::isfinite(value)) return false;
  }
  const auto within = [](double value, int most) { return static_cast<int>(std::clamp(value, 0.0, double(most))); };
  out = {.x_min = within(std::floor(box.x_min * scale), image.width()),
         .y_min = within(std::floor((box.y_min - kPadding) * scale), image.height()),
         .x_max = within(std::ceil(box.x_max * scale), image.width()),
         .y_max = within(std::ceil((box.y_max + kPadding) * scale), image.height())};
  return out.x_min < out.x_max && out.y_min < out.y_max;
}

// Dyes the boxes of a picture, each pixel once, however often boxes overlap.
class Marker final {
 public:
  explicit Marker(poppler::image& image)
      : image_(image), dyed_(static_cast<size_t>(image.width()) * static_cast<size_t>(image.height())) {}

  void Dye(const PixelBox& box) {
    const bool dark = MeanBrightness(box) < kDarkPaper;
    for (int y = box.y_min; y < box.y_max; ++y) {
      unsigned char* row = Row(y);
      for (int x = box.x_min; x < box.x_max; ++x) {
        const auto at = static_cast<size_t>(y) * static_cast<size_t>(image_.width()) + static_cast<size_t>(x);
        if (dyed_[at]) continue;
        dyed_[at] = true;
        for (size_t c = 0; c < 3; ++c) {
          unsigned char& value = row[static_cast<size_t>(x) * 3 + c];
          const unsigned mixed = dark ? (value * 5 + kMarker[c] * 3) / 8 : value * kMarker[c] / 255;
          value = static_cast<unsigned char>(mixed);
        }
      }
    }
  }

 private:
  unsigned char* Row(int y) {
    return reinterpret_cast<unsigned char*>(image_.data()) + static_cast<ptrdiff_t>(y) * image_.bytes_per_row();
  }

  unsigned MeanBrightness(const PixelBox& box) {
    uint64_t sum = 0;
    for (int y = box.y_min; y < box.y_max; ++y) {
      const unsigned char* row = Row(y) + static_cast<ptrdiff_t>(box.x_min) * 3;
      for (int i = 0; i < (box.x_max - box.x_min) * 3; ++i) sum += row[i];
    }
    const auto pixels = static_cast<uint64_t>(box.x_max - box.x_min) * static_cast<uint64_t>(box.y_max - box.y_min);
    return static_cast<unsigned>(sum / (pixels * 3));
  }

  poppler::image& image_;
  std::vector<bool> dyed_;
};

Verdict Draw(const poppler::page& page, const wire::PictureOrder& order, std::span<const wire::PictureBox> boxes,
             FrameWriter& out) {
  const PageSize size = SizeOf(page);
  const double scale = order.dpi / 72.0;
  const double width = std::ceil(size.width * scale);
  const double height = std::ceil(size.height * scale);
  if (!(width >= 1 && height >= 1)) {
    return {.verdict = ExtractVerdict::kDamaged, .sentence = "The page has no area to draw."};
  }
  if (width * height > order.pixels_max) {
    return {.verdict = ExtractVerdict::kLimit, .limit = ExtractLimit::kPixels, .detail = order.pixels_max};
  }
  poppler::page_renderer renderer;
  renderer.set_render_hint(poppler::page_renderer::antialiasing, true);
  renderer.set_render_hint(poppler::page_renderer::text_antialiasing, true);
  renderer.set_image_format(poppler::image::format_rgb24);
  poppler::image image =
      renderer.render_page(&page, order.dpi, order.dpi, 0, 0, static_cast<int>(width), static_cast<int>(height));
  // A picture that ran out of memory is white in parts, and looks fine.
  if (AllocationFailed()) throw std::bad_alloc();
  if (!image.is_valid() || image.format() != poppler::image::format_rgb24) {
    return {.verdict = ExtractVerdict::kDamaged, .sentence = "The page cannot be drawn."};
  }
  Marker marker(image);
  for (const wire::PictureBox& box : boxes) {
    if (PixelBox pixels; ToPixels(box, scale, image, pixels)) marker.Dye(pixels);
  }
  const std::string png = EncodePng({.rgb = reinterpret_cast<const unsigned char*>(image.data()),
                                     .width = static_cast<uint32_t>(image.width()),
                                     .height = static_cast<uint32_t>(image.height()),
                                     .bytes_per_row = static_cast<uint32_t>(image.bytes_per_row())});
  for (size_t begin = 0; begin < png.size(); begin += wire::kImageFrameBytes) {
    Payload frame;
    frame.Str32(std::string_view(png).substr(begin, wire::kImageFrameBytes));
    out.Write(wire::FrameType::kImage, frame);
  }
  return {.verdict = ExtractVerdict::kRead};
}

}  // namespace

Verdict DrawPage(std::string_view bytes, const wire::PictureOrder& order, std::span<const wire::PictureBox> boxes,
                 FrameWriter& out) {
  const PdfFile file(bytes);
  if (file.document() == nullptr) return file.why_not();
  if (order.page < 1 || order.page > static_cast<uint32_t>(std::max(0, file.document()->pages()))) {
    return {.verdict = ExtractVerdict::kDamaged, .sentence = "The PDF does not have this page."};
  }
  const std::unique_ptr<poppler::page> page(file.document()->create_page(static_cast<int>(order.page) - 1));
  if (page == nullptr) return {.verdict = ExtractVerdict::kDamaged, .sentence = "The page is damaged."};
  return Draw(*page, order, boxes, out);
}

}  // namespace carrel::retrieval::extract
