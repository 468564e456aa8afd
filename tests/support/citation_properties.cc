#include "citation_properties.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"

namespace carrel::testing {
namespace {

using retrieval::Box;
using retrieval::Chunks;
using retrieval::ExtractedDocument;
using retrieval::Page;
using retrieval::PageBox;
using retrieval::Span;
using retrieval::Word;

bool IsBlank(char32_t c) {
  return c == U' ' || (c >= 9 && c <= 13) || c == U'\u00A0' || c == U'\u3000' || c == U'\u0085' || c == U'\u2028' ||
         c == U'\u2029' || c == U'\u1680' || (c >= 0x2000 && c <= 0x200A) || c == U'\u202F' || c == U'\u205F';
}

bool Inside(const Box& box, const Page& page) {
  return box.x_min >= 0 && box.y_min >= 0 && box.x_min <= box.x_max && box.y_min <= box.y_max &&
         box.x_max <= page.width && box.y_max <= page.height;
}

class Inspector final {
 public:
  Inspector(const ExtractedDocument& document, const Chunks& chunks, const retrieval::ChunkingOptions& options,
            size_t most)
      : document_(document), chunks_(chunks), options_(options), most_(most) {}

  std::vector<std::string> Inspect() {
    InspectPages();
    for (const retrieval::Heading& heading : document_.headings) {
      Require(heading.span.end <= document_.body_end && !heading.span.empty(), "a heading outside the body");
    }
    InspectSubPassages();
    InspectPassages();
    return std::move(faults_);
  }

 private:
  template <typename... Parts>
  void Require(bool good, const Parts&... parts) {
    if (!good && faults_.size() < most_) faults_.push_back(absl::StrCat(parts...));
  }

  void InspectPages() {
    Require(!document_.pages.empty(), "no page");
    uint32_t end = 0;
    for (const Page& page : document_.pages) {
      Require(page.body.begin >= end && page.body.end >= page.body.begin && page.body.end <= document_.body_end,
              "page ", page.number, ": its body is out of order");
      end = page.body.end;
      Require(
          page.margin.empty() || (page.margin.begin >= document_.body_end && page.margin.end <= document_.text.size()),
          "page ", page.number, ": its margin is not behind the body");
      Require(!page.label.empty(), "page ", page.number, ": no label");
      if (page.width > 0) InspectWords(page);
    }
  }

  void InspectWords(const Page& page) {
    std::vector<bool> covered(page.body.size(), false);
    uint32_t end = 0;
    uint32_t line = 0;
    for (const Word& word : page.words) {
      const bool placed = page.body.Contains(word.span) || page.margin.Contains(word.span);
      Require(placed && !word.span.empty() && word.span.begin >= end && word.line >= line, "page ", page.number,
              ": a word out of place");
      Require(Inside(word.box, page), "page ", page.number, ": a word's box outside the page");
      end = word.span.end;
      line = word.line;
      if (!page.body.Contains(word.span)) continue;
      for (uint32_t i = word.span.begin; i < word.span.end; ++i) covered[i - page.body.begin] = true;
    }
    for (uint32_t i = page.body.begin; i < page.body.end; ++i) {
      Require(covered[i - page.body.begin] || IsBlank(document_.text[i]), "page ", page.number,
              ": a character without a box at ", i);
    }
    InspectStored(page);
  }

  void InspectStored(const Page& page) {
    const auto stored = retrieval::DecodePage(retrieval::EncodePage(page));
    Require(stored.ok(), "page ", page.number, ": cannot be stored");
    if (!stored.ok()) return;
    Require(stored->body == page.body && stored->margin == page.margin && stored->label == page.label &&
                stored->number == page.number && stored->words.size() == page.words.size(),
            "page ", page.number, ": comes back changed");
    for (size_t i = 0; i < std::min(stored->words.size(), page.words.size()); ++i) {
      const Word& a = page.words[i];
      const Word& b = stored->words[i];
      const float off = std::max({std::abs(a.box.x_min - b.box.x_min), std::abs(a.box.y_min - b.box.y_min),
                                  std::abs(a.box.x_max - b.box.x_max), std::abs(a.box.y_max - b.box.y_max)});
      Require(a.span == b.span && a.line == b.line && off <= 0.11F && Inside(b.box, page), "page ", page.number,
              ": a word comes back changed");
    }
  }

  void InspectSubPassages() {
    const std::u32string& text = document_.text;
    uint32_t end = 0;
    for (size_t i = 0; i < chunks_.sub_passages.size(); ++i) {
      const Span span = chunks_.sub_passages[i].span;
      if (span.begin < end || span.empty() || span.end > document_.body_end) {
        Require(false, "sub-passage ", i, ": out of place");
        return;
      }
      for (uint32_t at = end; at < span.begin; ++at)
        Require(IsBlank(text[at]), "sub-passage ", i, ": text left out before it");
      Require(!IsBlank(text[span.begin]) && !IsBlank(text[span.end - 1]), "sub-passage ", i, ": not trimmed");
      Require(chunks_.sub_passages[i].tokens <= std::min(options_.window_tokens, options_.max_tokens), "sub-passage ",
              i, ": over the window");
      InspectBoxes(i, span);
      end = span.end;
    }
    for (uint32_t at = end; at < document_.body_end; ++at) Require(IsBlank(text[at]), "text left out at the end");
  }

  void InspectBoxes(size_t i, Span span) {
    const retrieval::PageRange range = retrieval::PagesOf(document_.pages, span);
    if (document_.pages[range.first].width == 0) return;
    std::set<uint32_t> pages;
    for (const PageBox& box : retrieval::BoxesOf(document_.pages, span)) {
      pages.insert(box.page);
      const auto page = std::find_if(document_.pages.begin(), document_.pages.end(),
                                     [&](const Page& one) { return one.number == box.page; });
      Require(page != document_.pages.end() && Inside(box.box, *page), "sub-passage ", i, ": a box outside its page");
    }
    Require(!pages.empty() && *pages.begin() == document_.pages[range.first].number &&
                *pages.rbegin() == document_.pages[range.last].number,
            "sub-passage ", i, ": its boxes are not on its pages");
  }

  void InspectPassages() {
    uint32_t covered = 0;
    for (size_t i = 0; i < chunks_.passages.size(); ++i) {
      const retrieval::Passage& passage = chunks_.passages[i];
      if (passage.first_sub >= passage.last_sub || passage.last_sub > chunks_.sub_passages.size()) {
        Require(false, "passage ", i, ": no sub-passages");
        return;
      }
      Require(passage.first_sub <= covered && passage.last_sub > covered, "passage ", i,
              ": brings nothing new, or a gap");
      covered = passage.last_sub;
      Require(passage.tokens <= options_.max_tokens, "passage ", i, ": over its size");
      Require(passage.span.begin == chunks_.sub_passages[passage.first_sub].span.begin &&
                  passage.span.end == chunks_.sub_passages[passage.last_sub - 1].span.end,
              "passage ", i, ": is not its sub-passages");
    }
    Require(covered == chunks_.sub_passages.size(), "sub-passages without a passage");
    for (uint32_t sub = 0; sub < chunks_.sub_passages.size(); ++sub) {
      const retrieval::Passage& passage = chunks_.passages[retrieval::EnclosingPassage(chunks_, sub)];
      Require(passage.first_sub <= sub && sub < passage.last_sub, "sub-passage ", sub, ": not in its passage");
    }
  }

  const ExtractedDocument& document_;
  const Chunks& chunks_;
  const retrieval::ChunkingOptions& options_;
  const size_t most_;
  std::vector<std::string> faults_;
};

}  // namespace

uint32_t CountTokensRoughly(std::string_view text) {
  uint32_t tokens = 0;
  uint32_t run = 0;
  for (const char c : text) {
    if (c == ' ' || (c >= 9 && c <= 13)) {
      run = 0;
    } else if ((static_cast<unsigned char>(c) & 0xC0u) != 0x80u && run++ % 4 == 0) {
      ++tokens;
    }
  }
  return tokens;
}

std::vector<std::string> FaultsOf(const ExtractedDocument& document, const Chunks& chunks,
                                  const retrieval::ChunkingOptions& options, size_t most) {
  return Inspector(document, chunks, options, most).Inspect();
}

}  // namespace carrel::testing
