// One page of a PDF as a PNG file, with boxes highlighted, drawn by carrel-extract in a jail.
//
// Thread-safety: a PagePainter may be used from any number of threads; each call has its own jailed process.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "retrieval/document_text.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/jail.h"

namespace carrel::retrieval {

inline constexpr uint32_t kDpiMin = 18;
inline constexpr uint32_t kDpiMax = 600;

struct PictureLimits {
  uint64_t document_bytes_max = 512u << 20;
  uint32_t pixels_max = 16'000'000;
  uint64_t png_bytes_max = 48u << 20;
  uint64_t memory_bytes_max = 768u << 20;
  uint64_t cpu_seconds_max = 30;
  absl::Duration wall_max = absl::Seconds(60);
};

struct PictureRequest {
  UniqueFd bytes;  // of the PDF, at its start; a regular file
  uint32_t page = 1;
  float page_width = 0;  // points, as displayed
  float page_height = 0;
  // kDpiMin to kDpiMax; 0: dpi_default, or what still fits pixels_max.
  uint32_t dpi = 0;
  uint32_t dpi_default = 144;
  std::vector<Box> boxes;  // of this page; at most 4096
  PictureLimits limits;
  std::function<bool()> cancelled;  // asked often; may be empty
};

struct Picture {
  std::string png;     // checked: one plain PNG file of this size
  uint32_t width = 0;  // pixels
  uint32_t height = 0;
  uint32_t dpi = 0;
};

class PagePainter {
 public:
  virtual ~PagePainter() = default;
  // INVALID_ARGUMENT: dpi, or too many boxes. FAILED_PRECONDITION: the page cannot be drawn, or not within the limits;
  // the sentence says why. UNAVAILABLE: no jail, try again. CANCELLED. DATA_LOSS: the extractor sent something else.
  [[nodiscard]] virtual absl::StatusOr<Picture> Paint(PictureRequest request) = 0;
};

// The real one: one jail of `policy` per picture. `jails` must outlive it.
[[nodiscard]] std::unique_ptr<PagePainter> MakeJailedPainter(sandbox::JailMaker& jails, std::string policy = "extract");

}  // namespace carrel::retrieval
