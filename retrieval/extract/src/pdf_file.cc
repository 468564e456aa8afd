#include "pdf_file.h"

#include <poppler-global.h>

#include <climits>
#include <new>

#include "last_words.h"

namespace carrel::retrieval::extract {
namespace {

using wire::ExtractLimit;
using wire::ExtractVerdict;

// Poppler takes the header anywhere in the first KiB, as readers do.
bool LooksLikePdf(std::string_view bytes) { return bytes.substr(0, 1024).find("%PDF-") != std::string_view::npos; }

}  // namespace

PageSize SizeOf(const poppler::page& page) {
  // The box is given unrotated, the words are not.
  const poppler::rectf box = page.page_rect(poppler::crop_box);
  const auto orientation = page.orientation();
  if (orientation == poppler::page::landscape || orientation == poppler::page::seascape) {
    return {box.height(), box.width()};
  }
  return {box.width(), box.height()};
}

PdfFile::PdfFile(std::string_view bytes) {
  poppler::set_debug_error_function(OnComplaint, this);
  Open(bytes);
}

PdfFile::~PdfFile() { poppler::set_debug_error_function(nullptr, nullptr); }

void PdfFile::Open(std::string_view bytes) {
  if (!LooksLikePdf(bytes)) {
    why_not_ = {.verdict = ExtractVerdict::kUnsupported,
                .sentence = "Its name says PDF and its bytes do not (no %PDF- header)."};
    return;
  }
  if (bytes.size() > INT_MAX) {
    why_not_ = {.verdict = ExtractVerdict::kLimit, .limit = ExtractLimit::kInput, .detail = INT_MAX};
    return;
  }
  document_.reset(poppler::document::load_from_raw_data(bytes.data(), static_cast<int>(bytes.size())));
  if (AllocationFailed()) throw std::bad_alloc();
  locked_ = document_ != nullptr && document_->is_locked();
  if (locked_) {
    why_not_ = {.verdict = ExtractVerdict::kEncrypted, .sentence = "The PDF is encrypted and needs a password."};
  } else if (document_ == nullptr && unknown_security_) {
    why_not_ = {.verdict = ExtractVerdict::kEncrypted, .sentence = "The PDF is encrypted in a way that is not read."};
  } else if (document_ == nullptr) {
    why_not_ = {.verdict = ExtractVerdict::kDamaged, .sentence = "The PDF is damaged and cannot be opened."};
  }
}

void PdfFile::OnComplaint(const std::string& message, void* closure) {
  auto* file = static_cast<PdfFile*>(closure);
  const auto says = [&](std::string_view what) { return message.find(what) != std::string::npos; };
  if (says("Unknown filter") || says("Unknown compression") || says("Unsupported compression")) {
    ++file->unknown_filters_;
  }
  if (says("Couldn't find the") && says("security handler")) file->unknown_security_ = true;
  if (says("Unsupported version/revision") || says("Unknown security handler")) file->unknown_security_ = true;
}

}  // namespace carrel::retrieval::extract
