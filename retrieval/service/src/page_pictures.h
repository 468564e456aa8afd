// RenderPage: what is to be highlighted is looked up, the page is drawn in a jail, and few at once.
#pragma once

#include <functional>
#include <semaphore>

#include "absl/status/status.h"
#include "carrel/retrieval/v1/retrieval.pb.h"
#include "retrieval/library.h"
#include "retrieval/page_painter.h"

namespace carrel::retrieval {

// Thread-safe.
class PagePictures final {
 public:
  // `painter` may be null: then none can be had.
  PagePictures(Library& library, PagePainter* painter, uint32_t at_once_max)
      : library_(library), painter_(painter), places_(at_once_max) {}

  // Writes the header and the data; `write` returns false when nobody reads any more. The errors are RenderPage's.
  [[nodiscard]] absl::Status Render(const v1::RenderPageRequest& request, const std::function<bool()>& cancelled,
                                    const std::function<bool(const v1::RenderPageResponse&)>& write);

 private:
  Library& library_;
  PagePainter* const painter_;
  std::counting_semaphore<64> places_;
};

}  // namespace carrel::retrieval
