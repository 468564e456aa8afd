#include "pdf.h"

#include <poppler-document.h>
#include <poppler-global.h>
#include <poppler-page.h>
#include <poppler-toc.h>

#include <algorithm>
#include <climits>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "last_words.h"
#include "utf.h"

namespace carrel::retrieval::extract {
namespace {

using wire::ExtractLimit;
using wire::ExtractVerdict;
using wire::FrameType;

// What Poppler complained of, as far as it changes the verdict. Its messages quote the document: they go no further.
struct Complaints {
  bool unknown_filter = false;
  bool unknown_security = false;
};

void OnComplaint(const std::string& message, void* closure) {
  auto* complaints = static_cast<Complaints*>(closure);
  const auto says = [&](std::string_view what) { return message.find(what) != std::string::npos; };
  if (says("Unknown filter") || says("Unknown compression") || says("Unsupported compression")) {
    complaints->unknown_filter = true;
  }
  if (says("Couldn't find the") && says("security handler")) complaints->unknown_security = true;
  if (says("Unsupported version/revision") || says("Unknown security handler")) complaints->unknown_security = true;
}

std::string Utf8(const poppler::ustring& text) {
  std::string out;
  out.reserve(text.size());
  AppendUtf16AsUtf8(text, out);
  return out;
}

bool NameHas(const std::string& name, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](std::string_view part) { return name.find(part) != std::string::npos; });
}

uint8_t FlagsOf(const poppler::text_box& word) {
  uint8_t flags = word.has_space_after() ? wire::kSpaceAfter : 0;
  if (word.has_font_info()) {
    const std::string font = word.get_font_name();
    if (NameHas(font, {"Bold", "bold", "Black", "Heavy", "Demi"})) flags |= wire::kBold;
    if (NameHas(font, {"Mono", "Courier", "Consol", "CMTT", "Typewriter"})) flags |= wire::kFixedWidth;
  }
  return flags;
}

void PutWord(const poppler::text_box& word, Payload& page) {
  const poppler::rectf box = word.bbox();
  page.Str16(Utf8(word.text()), wire::kWordBytesMax);
  page.F32(box.left());
  page.F32(box.top());
  page.F32(box.right());
  page.F32(box.bottom());
  page.F32(word.has_font_info() ? word.get_font_size() : box.height());
  page.U8(static_cast<uint8_t>(word.rotation() & 3));
  page.U8(FlagsOf(word));
}

struct PageSize {
  double width;
  double height;
};

// As displayed: the crop box is given unrotated, the words are not.
PageSize SizeOf(const poppler::page& page) {
  const poppler::rectf box = page.page_rect(poppler::crop_box);
  const auto orientation = page.orientation();
  if (orientation == poppler::page::landscape || orientation == poppler::page::seascape) {
    return {box.height(), box.width()};
  }
  return {box.width(), box.height()};
}

class PdfReader final {
 public:
  PdfReader(const poppler::document& document, const wire::Request& request, FrameWriter& out)
      : document_(document), request_(request), out_(out) {}

  Verdict Read(const Complaints& complaints) {
    const int count = document_.pages();
    if (count <= 0) return {.verdict = ExtractVerdict::kEmpty, .sentence = "The PDF has no page."};
    const auto pages = static_cast<uint32_t>(count);
    PutDocument(pages);
    const uint32_t pages_to_read = std::min(pages, request_.pages_max);
    for (uint32_t number = 1; number <= pages_to_read; ++number) ReadPage(number);
    PutOutline();
    return Judge(pages, pages_to_read, complaints);
  }

 private:
  void PutDocument(uint32_t pages) {
    Payload frame;
    frame.U8(static_cast<uint8_t>(wire::DocumentType::kPdf));
    frame.U32(pages);
    frame.Str16(Utf8(document_.get_title()), wire::kTitleBytesMax);
    out_.Write(FrameType::kDocument, frame);
  }

  void ReadPage(uint32_t number) {
    Payload begin;
    begin.U32(number);
    out_.Write(FrameType::kBegin, begin);

    const std::unique_ptr<poppler::page> page(document_.create_page(static_cast<int>(number) - 1));
    if (page == nullptr) {
      ++pages_broken_;
      return;
    }
    // Once per page: each call interprets the page anew.
    const std::vector<poppler::text_box> words = page->text_list(poppler::page::text_list_include_font);
    // A page that ran out of memory is short, and looks fine.
    if (AllocationFailed()) throw std::bad_alloc();

    const PageSize size = SizeOf(*page);
    Payload frame;
    frame.U32(number);
    frame.F32(size.width);
    frame.F32(size.height);
    frame.Str16(Utf8(page->label()), 256);
    const size_t count_at = frame.size();
    frame.U32(0);
    uint32_t put = 0;
    for (const poppler::text_box& word : words) {
      if (put == request_.words_per_page_max || frame.size() + wire::kWordBytesMax + 64 > wire::kFrameBytesMax) {
        if (first_crowded_page_ == 0) first_crowded_page_ = number;
        break;
      }
      PutWord(word, frame);
      ++put;
    }
    frame.SetU32(count_at, put);
    words_ += put;
    out_.Write(FrameType::kPage, frame);
  }

  // After the pages: a broken outline then costs no text.
  void PutOutline() {
    const std::unique_ptr<poppler::toc> toc(document_.create_toc());
    if (toc == nullptr || toc->root() == nullptr) return;
    PutOutlineItems(*toc->root(), 1);
  }

  void PutOutlineItems(const poppler::toc_item& parent, uint8_t level) {
    constexpr uint8_t kLevelMax = 16;
    if (level > kLevelMax) return;
    for (const poppler::toc_item* item : parent.children()) {
      if (outline_items_ == wire::kOutlineItemsMax) return;
      ++outline_items_;
      Payload frame;
      frame.U8(level);
      frame.Str16(Utf8(item->title()), wire::kTitleBytesMax);
      out_.Write(FrameType::kOutline, frame);
      PutOutlineItems(*item, static_cast<uint8_t>(level + 1));
    }
  }

  Verdict Judge(uint32_t pages, uint32_t pages_read, const Complaints& complaints) const {
    if (pages_broken_ == pages_read) {
      return {.verdict = ExtractVerdict::kDamaged, .sentence = "The PDF is damaged: none of its pages can be read."};
    }
    if (words_ == 0 && complaints.unknown_filter) {
      return {.verdict = ExtractVerdict::kUnsupported,
              .sentence = "The PDF's pages are compressed in a way that is not read."};
    }
    if (words_ == 0) {
      return {.verdict = ExtractVerdict::kNoText,
              .sentence = "The PDF has pages but no text on them; scans need character recognition first."};
    }
    if (pages_read < pages)
      return {.verdict = ExtractVerdict::kLimit, .limit = ExtractLimit::kPages, .detail = pages_read};
    if (first_crowded_page_ != 0) {
      return {.verdict = ExtractVerdict::kLimit, .limit = ExtractLimit::kWords, .detail = first_crowded_page_};
    }
    return {.verdict = ExtractVerdict::kRead};
  }

  const poppler::document& document_;
  const wire::Request& request_;
  FrameWriter& out_;
  uint64_t words_ = 0;
  uint32_t pages_broken_ = 0;
  uint32_t first_crowded_page_ = 0;
  uint32_t outline_items_ = 0;
};

// Poppler takes the header anywhere in the first KiB, as readers do.
bool LooksLikePdf(std::string_view bytes) { return bytes.substr(0, 1024).find("%PDF-") != std::string_view::npos; }

}  // namespace

Verdict ExtractPdf(std::string_view bytes, const wire::Request& request, FrameWriter& out) {
  if (!LooksLikePdf(bytes)) {
    return {.verdict = ExtractVerdict::kUnsupported,
            .sentence = "Its name says PDF and its bytes do not (no %PDF- header)."};
  }
  if (bytes.size() > INT_MAX) {
    return {.verdict = ExtractVerdict::kLimit, .limit = ExtractLimit::kInput, .detail = INT_MAX};
  }
  Complaints complaints;
  poppler::set_debug_error_function(OnComplaint, &complaints);
  const std::unique_ptr<poppler::document> document(
      poppler::document::load_from_raw_data(bytes.data(), static_cast<int>(bytes.size())));
  if (AllocationFailed()) throw std::bad_alloc();
  Verdict verdict;
  if (document != nullptr && document->is_locked()) {
    verdict = {.verdict = ExtractVerdict::kEncrypted, .sentence = "The PDF is encrypted and needs a password."};
  } else if (document == nullptr && complaints.unknown_security) {
    verdict = {.verdict = ExtractVerdict::kEncrypted, .sentence = "The PDF is encrypted in a way that is not read."};
  } else if (document == nullptr) {
    verdict = {.verdict = ExtractVerdict::kDamaged, .sentence = "The PDF is damaged and cannot be opened."};
  } else {
    verdict = PdfReader(*document, request, out).Read(complaints);
  }
  poppler::set_debug_error_function(nullptr, nullptr);
  return verdict;
}

}  // namespace carrel::retrieval::extract
