#include "page_pictures.h"

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "convert.h"
#include "rpc/status.h"

namespace carrel::retrieval {
namespace {

constexpr size_t kPieceBytes = 256u << 10;
constexpr int kBoxesMax = 4096;
constexpr std::chrono::seconds kPlaceMax{10};
constexpr absl::Duration kRetry = absl::Seconds(2);

struct Wanted {
  uint32_t page = 0;
  std::optional<Citation> citation;
  std::vector<Box> boxes;  // of the page
};

absl::StatusOr<Wanted> Find(Library& library, const DocumentName& name, const v1::RenderPageRequest& request) {
  Wanted wanted{.page = request.page()};
  if (request.has_span()) {
    const absl::StatusOr<Span> span = CitedSpanFrom(request.span());
    if (!span.ok()) return span.status();
    absl::StatusOr<Citation> citation = library.Cite(name, *span);
    if (absl::IsOutOfRange(citation.status())) {
      return rpc::InvalidField("span", absl::StrCat(span->begin, ":", span->end),
                               absl::StrCat("a part of the text: ", std::string(citation.status().message())));
    }
    if (!citation.ok()) return citation.status();
    if (wanted.page == 0) wanted.page = citation->first_page;
    if (wanted.page < citation->first_page || wanted.page > citation->last_page) {
      return rpc::InvalidField(
          "page", absl::StrCat(wanted.page),
          absl::StrCat(citation->first_page, " to ", citation->last_page, ", where the span stands"));
    }
    for (const PageBox& box : citation->boxes) {
      if (box.page == wanted.page) wanted.boxes.push_back(box.box);
    }
    wanted.citation = *std::move(citation);
  }
  if (wanted.page == 0) return rpc::InvalidField("page", "0", "1 or more, when no span is given");
  if (request.boxes_size() > kBoxesMax) {
    return rpc::InvalidField("boxes", absl::StrCat(request.boxes_size()), absl::StrCat("at most ", kBoxesMax));
  }
  for (const v1::Box& box : request.boxes()) {
    if (box.page() != wanted.page) continue;
    wanted.boxes.push_back({.x_min = static_cast<float>(box.x_min()),
                            .y_min = static_cast<float>(box.y_min()),
                            .x_max = static_cast<float>(box.x_max()),
                            .y_max = static_cast<float>(box.y_max())});
  }
  return wanted;
}

void Send(const Picture& picture, v1::RenderPageResponse part,
          const std::function<bool(const v1::RenderPageResponse&)>& write) {
  if (!write(part)) return;
  for (size_t begin = 0; begin < picture.png.size(); begin += kPieceBytes) {
    part.set_data(picture.png.substr(begin, kPieceBytes));
    if (!write(part)) return;
  }
}

}  // namespace

absl::Status PagePictures::Render(const v1::RenderPageRequest& request, const std::function<bool()>& cancelled,
                                  const std::function<bool(const v1::RenderPageResponse&)>& write) {
  if (painter_ == nullptr) return absl::UnimplementedError("this server draws no pages");
  if (request.dpi() != 0 && (request.dpi() < kDpiMin || request.dpi() > kDpiMax)) {
    return rpc::InvalidField("dpi", absl::StrCat(request.dpi()), absl::StrCat(kDpiMin, " to ", kDpiMax, ", or 0"));
  }
  const DocumentName name{
      .owner = request.owner(), .store_id = request.store_id(), .document_id = request.document_id()};
  absl::StatusOr<Wanted> wanted = Find(library_, name, request);
  if (!wanted.ok()) return wanted.status();
  absl::StatusOr<OriginalPage> page = library_.OpenPage(name, wanted->page);
  if (absl::IsOutOfRange(page.status())) {
    return rpc::InvalidField("page", absl::StrCat(wanted->page),
                             absl::StrCat("one of its pages: ", std::string(page.status().message())));
  }
  if (!page.ok()) return page.status();

  if (!places_.try_acquire_for(kPlaceMax)) {
    return rpc::RetryAfter(absl::ResourceExhaustedError("too many pages are being drawn; try again"), kRetry);
  }
  const absl::StatusOr<Picture> picture = painter_->Paint({.bytes = std::move(page->bytes),
                                                           .page = wanted->page,
                                                           .page_width = page->width,
                                                           .page_height = page->height,
                                                           .dpi = request.dpi(),
                                                           .boxes = std::move(wanted->boxes),
                                                           .cancelled = cancelled});
  places_.release();
  if (!picture.ok()) return picture.status();

  v1::RenderPageResponse part;
  v1::PageHeader& header = *part.mutable_header();
  header.set_page(wanted->page);
  header.set_page_label(page->label);
  header.set_pages(page->pages);
  header.set_dpi(picture->dpi);
  header.set_width(picture->width);
  header.set_height(picture->height);
  header.set_size_bytes(picture->png.size());
  if (wanted->citation) ToProto(*wanted->citation, *header.mutable_citation());
  Send(*picture, std::move(part), write);
  return absl::OkStatus();
}

}  // namespace carrel::retrieval
