#include "retrieval/document_builder.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "blocks.h"
#include "definitions.h"
#include "headings.h"
#include "joins.h"
#include "lines.h"

namespace carrel::retrieval {
namespace {

// Writes the lines of a paged document one after the other into its text.
class PagedBuilder final {
 public:
  explicit PagedBuilder(RawDocument raw) : raw_(std::move(raw)) {
    for (const RawPage& page : raw_.pages) lines_.push_back(LinesOf(page));
    MarkMargins(raw_.pages, lines_);
    KeepSomeBody();
    for (const std::vector<Line>& page : lines_) {
      for (const Line& line : page) vocabulary_.Add(line);
    }
  }

  ExtractedDocument Build() {
    document_.title = std::move(raw_.title);
    for (size_t page = 0; page < lines_.size(); ++page) {
      BeginPage(raw_.pages[page]);
      AppendBody(page);
    }
    document_.body_end = Here();
    std::vector<const Line*> body;
    for (const std::vector<Line>& page : lines_) {
      for (const Line& line : page) {
        if (!line.margin) body.push_back(&line);
      }
    }
    document_.headings = FindHeadings(body, raw_.outline);
    for (size_t page = 0; page < lines_.size(); ++page) AppendMargin(page);
    return std::move(document_);
  }

 private:
  [[nodiscard]] uint32_t Here() const { return static_cast<uint32_t>(document_.text.size()); }

  // Pages of nothing but what looks like running heads (a list of numbers, one slide repeated) are read as they stand.
  void KeepSomeBody() {
    const auto in_body = [](const Line& line) { return !line.margin; };
    for (const std::vector<Line>& page : lines_) {
      if (std::any_of(page.begin(), page.end(), in_body)) return;
    }
    for (std::vector<Line>& page : lines_) {
      for (Line& line : page) line.margin = false;
    }
  }

  void BeginPage(const RawPage& raw) {
    Page page;
    page.number = raw.number;
    page.label = raw.label.empty() ? absl::StrCat(raw.number) : raw.label;
    page.width = raw.width;
    page.height = raw.height;
    page.recognised = raw.recognised;
    page.body = {Here(), Here()};
    document_.pages.push_back(std::move(page));
  }

  void AppendBody(size_t page) {
    std::vector<Line*> body;
    std::vector<const Line*> measured;
    for (Line& line : lines_[page]) {
      if (line.margin) continue;
      body.push_back(&line);
      measured.push_back(&line);
    }
    if (body.empty()) return;
    const PageMetrics metrics = MeasurePage(measured);
    const std::vector<float> ends = ColumnEnds(measured);
    for (size_t i = 0; i < body.size(); ++i) {
      if (last_ != nullptr) {
        Apply(i == 0 ? JoinOverPages(*last_, last_column_end_, *body[i], vocabulary_)
                     : JoinOf(*last_, last_column_end_, *body[i], metrics, vocabulary_));
      }
      if (i == 0) document_.pages.back().body = {Here(), Here()};
      Append(*body[i], document_.pages.back());
      last_ = body[i];
      last_column_end_ = ends[i];
    }
    document_.pages.back().body.end = Here();
  }

  void Apply(Join join) {
    switch (join) {
      case Join::kWord:
        DropHyphen();
        break;
      case Join::kNone:
        break;
      case Join::kSpace:
        document_.text.push_back(U' ');
        break;
      case Join::kLineBreak:
        document_.text.push_back(U'\n');
        break;
      case Join::kParagraph:
        document_.text += U"\n\n";
        break;
    }
  }

  // The hyphen is the last character of the line before, which may stand on the page before or some pages back.
  void DropHyphen() {
    document_.text.pop_back();
    const uint32_t here = Here();
    for (auto page = document_.pages.rbegin(); page != document_.pages.rend(); ++page) {
      const bool has_words = !page->words.empty();
      page->body.begin = std::min(page->body.begin, here);
      page->body.end = std::min(page->body.end, here);
      if (!has_words) continue;
      Word& word = page->words.back();
      word.span.end = std::min(word.span.end, here);
      if (word.span.empty()) page->words.pop_back();
      break;
    }
    last_->span.end = here;
  }

  void Append(Line& line, Page& page) {
    const uint32_t begin = Here();
    document_.text += line.text;
    line.span = {begin, Here()};
    const uint32_t number = page.words.empty() ? 0 : page.words.back().line + 1;
    for (const Line::Piece& piece : line.pieces) {
      page.words.push_back(
          {.span = {begin + piece.span.begin, begin + piece.span.end}, .line = number, .box = piece.box});
    }
  }

  void AppendMargin(size_t index) {
    Page& page = document_.pages[index];
    page.margin = {Here(), Here()};
    bool first = true;
    for (Line& line : lines_[index]) {
      if (!line.margin) continue;
      document_.text += U"\n";
      if (first) page.margin.begin = Here();
      first = false;
      Append(line, page);
      page.margin.end = Here();
    }
  }

  RawDocument raw_;
  std::vector<std::vector<Line>> lines_;  // by page
  Vocabulary vocabulary_;
  ExtractedDocument document_;
  Line* last_ = nullptr;  // the body's last line so far
  float last_column_end_ = 0;
};

std::u32string WithPlainNewlines(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == U'\r') {
      if (i + 1 < text.size() && text[i + 1] == U'\n') continue;
      out.push_back(U'\n');
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

ExtractedDocument BuildText(const RawDocument& raw) {
  ExtractedDocument document;
  document.text = WithPlainNewlines(raw.text);
  document.body_end = static_cast<uint32_t>(document.text.size());
  document.pages.push_back({.number = 1, .label = "1", .body = {0, document.body_end}});
  document.by_line = wire::ByLine(raw.type);
  if (document.by_line) document.headings = FindDefinitions(document.text, raw.type);
  if (raw.type == wire::DocumentType::kMarkdown) {
    document.headings = FindMarkdownHeadings(document.text);
    if (!document.headings.empty()) document.title = document.headings.front().title;
  }
  return document;
}

}  // namespace

ExtractedDocument BuildDocument(RawDocument raw) {
  switch (wire::ShapeOf(raw.type)) {
    case wire::Shape::kText:
      return BuildText(raw);
    case wire::Shape::kBlocks:
      return BuildFromBlocks(std::move(raw));
    case wire::Shape::kPages:
      break;
  }
  return PagedBuilder(std::move(raw)).Build();
}

}  // namespace carrel::retrieval
