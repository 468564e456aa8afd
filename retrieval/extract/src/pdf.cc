#include "pdf.h"

#include <poppler-toc.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "last_words.h"
#include "pdf_file.h"
#include "utf.h"

namespace carrel::retrieval::extract {
namespace {

using wire::ExtractLimit;
using wire::ExtractVerdict;
using wire::FrameType;

// poppler::ustring, or a piece of one.
std::string Utf8(const std::basic_string<unsigned short>& text) {
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

struct Corners {
  double x_min;
  double y_min;
  double x_max;
  double y_max;
};
Corners CornersOf(const poppler::rectf& box) { return {box.left(), box.top(), box.right(), box.bottom()}; }

// Glyphs of vertical lines hang from the middle of their upper edge. Poppler draws them so, but gives their boxes as if
// they stood on a baseline: half a letter to the side of what is seen, and one before it.
Corners AsSeen(const poppler::text_box& word, Corners box) {
  if (!word.has_font_info() || word.get_wmode() != poppler::text_box::vertical_wmode) return box;
  const double along = word.get_font_size();
  const double across = along / 2;
  // By the direction of reading, in quarter turns: to the right, down, to the left, up.
  const double x[] = {along, -across, -along, across};
  const double y[] = {across, along, -across, -along};
  const int turn = word.rotation() & 3;
  return {box.x_min + x[turn], box.y_min + y[turn], box.x_max + x[turn], box.y_max + y[turn]};
}

void PutPart(const poppler::text_box& word, const std::basic_string<unsigned short>& text, const Corners& unseen,
             uint8_t flags, Payload& page) {
  const Corners box = AsSeen(word, unseen);
  page.Str16(Utf8(text), wire::kWordBytesMax);
  page.F32(box.x_min);
  page.F32(box.y_min);
  page.F32(box.x_max);
  page.F32(box.y_max);
  page.F32(word.has_font_info() ? word.get_font_size() : box.y_max - box.y_min);
  page.U8(static_cast<uint8_t>(word.rotation() & 3));
  page.U8(flags);
}

// The one Arabic ligature that every font has is one glyph for two letters, which Poppler gives in the order of reading
// where all else of the word is in the order of glyphs. It is told from lam and alef side by side (the article, the
// other way round) by its two halves being equally wide, as Poppler shares a glyph's width between its letters.
poppler::ustring InOrderOfGlyphs(const poppler::text_box& word) {
  constexpr unsigned short kLam = 0x644;
  const auto is_alef = [](unsigned short unit) {
    return unit == 0x622 || unit == 0x623 || unit == 0x625 || unit == 0x627;
  };
  poppler::ustring text = word.text();
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    if (text[i] != kLam || !is_alef(text[i + 1])) continue;
    const double width = word.char_bbox(i).width();
    if (width > 0 && std::abs(word.char_bbox(i + 1).width() - width) < 0.01 * width) {
      std::swap(text[i], text[i + 1]);
      ++i;
    }
  }
  return text;
}

// Ends a clause in scripts without spaces.
bool IsUnspacedStop(unsigned unit) {
  return unit == 0x3001 || unit == 0x3002 || unit == 0xFF01 || unit == 0xFF0C || unit == 0xFF1A || unit == 0xFF1B ||
         unit == 0xFF1F || unit == 0xFE11 || unit == 0xFE12;
}

// Longer words are not cut; so a word takes at most kRoomForWord bytes of a frame.
constexpr uint32_t kCutUnitsMax = 1000;
constexpr size_t kRoomForWord = wire::kWordBytesMax + kCutUnitsMax * 32;

// To Poppler a line of Chinese or Japanese is one word. Cut after each clause, so that a quote's box ends where the
// quote does. The number of parts written, at most `parts_max` (>= 1).
uint32_t PutWord(const poppler::text_box& word, uint32_t parts_max, Payload& page) {
  const poppler::ustring text = InOrderOfGlyphs(word);
  const uint8_t flags = FlagsOf(word);
  const bool cuttable = text.size() > 1 && text.size() <= std::min(parts_max, kCutUnitsMax) &&
                        std::any_of(text.begin(), text.end() - 1, IsUnspacedStop) &&
                        // One glyph a unit: else the boxes of glyphs are not those of characters.
                        word.char_bbox(text.size() - 1).width() > 0 && word.char_bbox(text.size()).width() <= 0;
  if (!cuttable) {
    PutPart(word, text, CornersOf(word.bbox()), flags, page);
    return 1;
  }
  uint32_t parts = 0;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin;
    Corners box = CornersOf(word.char_bbox(begin));
    while (end < text.size()) {
      const Corners glyph = CornersOf(word.char_bbox(end));
      box = {std::min(box.x_min, glyph.x_min), std::min(box.y_min, glyph.y_min), std::max(box.x_max, glyph.x_max),
             std::max(box.y_max, glyph.y_max)};
      if (IsUnspacedStop(text[end++])) break;
    }
    const bool last = end == text.size();
    PutPart(word, text.substr(begin, end - begin), box, last ? flags : flags & ~wire::kSpaceAfter, page);
    ++parts;
    begin = end;
  }
  return parts;
}

class PdfReader final {
 public:
  PdfReader(const PdfFile& file, const wire::Request& request, FrameWriter& out)
      : file_(file), document_(*file.document()), request_(request), out_(out) {}

  Verdict Read() {
    const int count = document_.pages();
    if (count <= 0) return {.verdict = ExtractVerdict::kEmpty, .sentence = "The PDF has no page."};
    const auto pages = static_cast<uint32_t>(count);
    PutDocument(pages);
    const uint32_t pages_to_read = std::min(pages, request_.pages_max);
    for (uint32_t number = 1; number <= pages_to_read; ++number) ReadPage(number);
    PutOutline();
    return Judge(pages, pages_to_read);
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

    const uint64_t unknown_filters = file_.unknown_filters();
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
      if (put == request_.words_per_page_max || frame.size() + kRoomForWord > wire::kFrameBytesMax) {
        if (first_crowded_page_ == 0) first_crowded_page_ = number;
        break;
      }
      put += PutWord(word, request_.words_per_page_max - put, frame);
    }
    frame.SetU32(count_at, put);
    words_ += put;
    out_.Write(FrameType::kPage, frame);
    if (put == 0 && file_.unknown_filters() > unknown_filters) out_.Write(FrameType::kUnread, begin);
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

  Verdict Judge(uint32_t pages, uint32_t pages_read) const {
    if (pages_broken_ == pages_read) {
      return {.verdict = ExtractVerdict::kDamaged, .sentence = "The PDF is damaged: none of its pages can be read."};
    }
    if (words_ == 0 && file_.unknown_filters() > 0) {
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

  const PdfFile& file_;
  const poppler::document& document_;
  const wire::Request& request_;
  FrameWriter& out_;
  uint64_t words_ = 0;
  uint32_t pages_broken_ = 0;
  uint32_t first_crowded_page_ = 0;
  uint32_t outline_items_ = 0;
};

}  // namespace

Verdict ExtractPdf(std::string_view bytes, const wire::Request& request, FrameWriter& out) {
  const PdfFile file(bytes);
  return file.document() == nullptr ? file.why_not() : PdfReader(file, request, out).Read();
}

}  // namespace carrel::retrieval::extract
