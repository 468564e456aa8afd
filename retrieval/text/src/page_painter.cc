#include "retrieval/page_painter.h"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "extractor_run.h"
#include "retrieval/frame_decoder.h"
#include "retrieval/png_check.h"
#include "retrieval/wire.h"

namespace carrel::retrieval {
namespace {

double PixelsAt(const PictureRequest& request, uint32_t dpi) {
  const double scale = dpi / 72.0;
  return std::ceil(request.page_width * scale) * std::ceil(request.page_height * scale);
}

// The largest that fits, at most `most`; 0: none does.
uint32_t DpiThatFits(const PictureRequest& request, uint32_t most) {
  uint32_t dpi = most;
  while (dpi >= kDpiMin && PixelsAt(request, dpi) > request.limits.pixels_max) --dpi;
  return dpi >= kDpiMin ? dpi : 0;
}

absl::StatusOr<uint32_t> ChooseDpi(const PictureRequest& request) {
  if (request.dpi != 0 && (request.dpi < kDpiMin || request.dpi > kDpiMax)) {
    return absl::InvalidArgumentError(
        absl::StrCat("dpi is ", request.dpi, ": expected ", kDpiMin, " to ", kDpiMax, ", or 0"));
  }
  const uint32_t fits = DpiThatFits(request, request.dpi == 0 ? request.dpi_default : kDpiMax);
  if (fits == 0) {
    return absl::FailedPreconditionError(absl::StrCat("page ", request.page,
                                                      " is too large to be drawn: it takes more than ",
                                                      request.limits.pixels_max, " pixels at ", kDpiMin, " dpi"));
  }
  if (request.dpi > fits) {
    return absl::InvalidArgumentError(absl::StrCat("dpi is ", request.dpi, ": page ", request.page,
                                                   " would have more than ", request.limits.pixels_max,
                                                   " pixels; at most ", fits, " is possible"));
  }
  return request.dpi == 0 ? fits : request.dpi;
}

std::string WireOrder(const PictureRequest& request, uint32_t dpi, uint64_t memory_bytes) {
  const PictureLimits& limits = request.limits;
  wire::Request head;
  head.task = wire::Task::kPicture;
  head.input_bytes_max = limits.document_bytes_max;
  head.output_bytes_max = limits.png_bytes_max;
  head.cpu_seconds_max = limits.cpu_seconds_max;
  // Below the jail's limit, so that the extractor gets to say so itself.
  head.memory_bytes_max = memory_bytes / 8 * 7;
  const wire::PictureOrder order{.page = request.page,
                                 .dpi = dpi,
                                 .pixels_max = limits.pixels_max,
                                 .boxes = static_cast<uint32_t>(request.boxes.size())};
  std::string bytes(reinterpret_cast<const char*>(&head), sizeof head);
  bytes.append(reinterpret_cast<const char*>(&order), sizeof order);
  for (const Box& box : request.boxes) {
    const wire::PictureBox one{.x_min = box.x_min, .y_min = box.y_min, .x_max = box.x_max, .y_max = box.y_max};
    bytes.append(reinterpret_cast<const char*>(&one), sizeof one);
  }
  return bytes;
}

std::string LimitClause(wire::ExtractLimit limit, const PictureLimits& limits) {
  switch (limit) {
    case wire::ExtractLimit::kMemory:
      return absl::StrCat("drawing it takes more than ", limits.memory_bytes_max >> 20, " MiB of memory");
    case wire::ExtractLimit::kCpu:
      return absl::StrCat("drawing it takes more than ", limits.cpu_seconds_max, " s of processor time");
    case wire::ExtractLimit::kPixels:
      return absl::StrCat("it would have more than ", limits.pixels_max, " pixels");
    case wire::ExtractLimit::kOutput:
      return absl::StrCat("the picture takes more than ", limits.png_bytes_max >> 20, " MiB");
    case wire::ExtractLimit::kInput:
      return absl::StrCat("the document is larger than ", limits.document_bytes_max >> 20, " MiB");
    default:
      return "a limit was reached";
  }
}

std::string EndClause(const ExtractorEnd& end, const PictureLimits& limits) {
  if (end.time_limit) return absl::StrCat("drawing it takes longer than ", absl::FormatDuration(limits.wall_max));
  if (!end.exit) return "the extractor did not end";
  if (end.exit->memory_limit) return LimitClause(wire::ExtractLimit::kMemory, limits);
  if (end.exit->signal == SIGXCPU) return LimitClause(wire::ExtractLimit::kCpu, limits);
  if (end.exit->signal != 0) return absl::StrCat("the extractor died of signal ", end.exit->signal);
  return absl::StrCat("the extractor ended with code ", end.exit->exit_code, " and no verdict");
}

absl::Status NotDrawn(uint32_t page, const std::string& clause) {
  return absl::FailedPreconditionError(absl::StrCat("page ", page, " cannot be drawn: ", clause));
}

class JailedPainter final : public PagePainter {
 public:
  JailedPainter(sandbox::JailMaker& jails, std::string policy) : jails_(jails), policy_(std::move(policy)) {}

  absl::StatusOr<Picture> Paint(PictureRequest request) override {
    if (request.boxes.size() > wire::kPictureBoxesMax) {
      return absl::InvalidArgumentError(absl::StrCat("boxes are ", request.boxes.size(), ": expected at most ",
                                                     wire::kPictureBoxesMax, " on a page"));
    }
    const absl::StatusOr<uint32_t> dpi = ChooseDpi(request);
    if (!dpi.ok()) return dpi.status();
    PictureLimits limits = request.limits;
    limits.memory_bytes_max = MemoryWithinCap(jails_, policy_, limits.memory_bytes_max);
    FrameDecoder decoder({.output_bytes_max = limits.png_bytes_max, .picture = true});
    const auto take = [&](std::string_view bytes, bool& done) {
      absl::Status status = decoder.Feed(bytes);
      done = decoder.document().verdict.has_value();
      return status;
    };
    std::string order = WireOrder(request, *dpi, limits.memory_bytes_max);
    const absl::StatusOr<ExtractorEnd> end = RunExtractor(jails_,
                                                          {.policy = policy_,
                                                           .bytes = std::move(request.bytes),
                                                           .request = std::move(order),
                                                           .memory_bytes = limits.memory_bytes_max,
                                                           // The extractor's own limit comes first, and says so.
                                                           .cpu_seconds = limits.cpu_seconds_max + 5,
                                                           .wall_max = limits.wall_max,
                                                           .cancelled = std::move(request.cancelled)},
                                                          take);
    if (!end.ok()) return end.status();
    if (!end->wire.ok()) return absl::DataLossError(end->wire.message());
    return Finish(decoder.TakeDocument(), *end, request, limits, *dpi);
  }

 private:
  static absl::StatusOr<Picture> Finish(RawDocument raw, const ExtractorEnd& end, const PictureRequest& request,
                                        const PictureLimits& limits, uint32_t dpi) {
    if (!raw.verdict) return NotDrawn(request.page, EndClause(end, limits));
    if (raw.verdict->verdict == wire::ExtractVerdict::kLimit) {
      return NotDrawn(request.page, LimitClause(raw.verdict->limit, limits));
    }
    // The extractor's own words are not passed on: they would be an attacker's.
    if (raw.verdict->verdict != wire::ExtractVerdict::kRead) return NotDrawn(request.page, "the page is damaged");
    const absl::StatusOr<PngSize> size = CheckPng(raw.picture);
    if (!size.ok()) return size.status();
    if (uint64_t{size->width} * size->height > limits.pixels_max) {
      return absl::DataLossError("the extractor sent a picture with more pixels than were allowed");
    }
    return Picture{.png = std::move(raw.picture), .width = size->width, .height = size->height, .dpi = dpi};
  }

  sandbox::JailMaker& jails_;
  const std::string policy_;
};

}  // namespace

std::unique_ptr<PagePainter> MakeJailedPainter(sandbox::JailMaker& jails, std::string policy) {
  return std::make_unique<JailedPainter>(jails, std::move(policy));
}

}  // namespace carrel::retrieval
