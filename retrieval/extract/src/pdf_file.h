// A PDF opened through poppler-cpp, or the verdict why not. Poppler's headers are for pdf*.cc and picture.cc alone.
#pragma once

#include <poppler-document.h>
#include <poppler-page.h>

#include <memory>
#include <string>
#include <string_view>

#include "frame_writer.h"

namespace carrel::retrieval::extract {

// Points, as displayed: the crop box, turned.
struct PageSize {
  double width;
  double height;
};
[[nodiscard]] PageSize SizeOf(const poppler::page& page);

class PdfFile final {
 public:
  // `bytes` must outlive it. Throws std::bad_alloc also for allocations that Poppler made light of.
  explicit PdfFile(std::string_view bytes);
  ~PdfFile();
  PdfFile(const PdfFile&) = delete;
  PdfFile& operator=(const PdfFile&) = delete;

  // Null: why_not() says it.
  [[nodiscard]] const poppler::document* document() const { return locked_ ? nullptr : document_.get(); }
  [[nodiscard]] const Verdict& why_not() const { return why_not_; }
  // How often Poppler met compression that it does not know, so far.
  [[nodiscard]] uint64_t unknown_filters() const { return unknown_filters_; }

 private:
  static void OnComplaint(const std::string& message, void* closure);
  void Open(std::string_view bytes);

  std::unique_ptr<poppler::document> document_;
  bool locked_ = false;
  Verdict why_not_;
  // What Poppler complained of, as far as it changes the verdict. Its messages quote the document: they go no further.
  uint64_t unknown_filters_ = 0;
  bool unknown_security_ = false;
};

}  // namespace carrel::retrieval::extract
