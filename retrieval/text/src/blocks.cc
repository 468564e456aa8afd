#include "blocks.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "characters.h"

namespace carrel::retrieval {
namespace {

using wire::BlockKind;

bool HasNoWidth(char32_t c) {
  return c == U'\u00AD' || c == U'\u200B' || c == U'\u2060' || c == U'\uFEFF' || (c < 0x20 && !IsSpace(c)) || c == 0x7F;
}

std::string LabelOf(wire::DocumentType type, const RawPart& part) {
  if (type == wire::DocumentType::kPptx) return absl::StrCat("slide ", part.number);
  return absl::StrCat("sheet ", part.name.empty() ? absl::StrCat(part.number) : part.name);
}

class BlockBuilder final {
 public:
  explicit BlockBuilder(RawDocument raw) : raw_(std::move(raw)) {}

  ExtractedDocument Build() {
    document_.title = std::move(raw_.title);
    if (!wire::HasParts(raw_.type)) BeginPage(1, "1");
    size_t part = 0;
    for (size_t i = 0; i < raw_.blocks.size(); ++i) {
      for (; part < raw_.parts.size() && raw_.parts[part].first_block <= i; ++part) BeginPart(raw_.parts[part]);
      const RawBlock& block = raw_.blocks[i];
      if (block.kind != BlockKind::kMore) {
        EndBlock();
        kind_ = block.kind;
        level_ = block.level;
      }
      Append(std::u32string_view(raw_.text).substr(block.chars.begin, block.chars.size()));
    }
    EndBlock();
    for (; part < raw_.parts.size(); ++part) BeginPart(raw_.parts[part]);
    if (document_.pages.empty()) BeginPage(1, "1");
    document_.body_end = Here();
    document_.by_line = wire::ByLine(raw_.type);
    return std::move(document_);
  }

 private:
  [[nodiscard]] uint32_t Here() const { return static_cast<uint32_t>(document_.text.size()); }

  void BeginPart(const RawPart& part) {
    EndBlock();
    BeginPage(part.number, LabelOf(raw_.type, part));
  }

  void BeginPage(uint32_t number, std::string label) {
    Page page;
    page.number = number;
    page.label = std::move(label);
    page.body = {Here(), Here()};
    page_has_text_ = false;
    document_.pages.push_back(std::move(page));
  }

  // Lists and tables are close, all else stands apart.
  void Separate() {
    if (document_.text.empty()) return;
    const bool close = kind_ == last_kind_ && page_has_text_ && (kind_ == BlockKind::kRow || kind_ == BlockKind::kItem);
    document_.text += close ? U"\n" : U"\n\n";
  }

  void Begin() {
    Separate();
    begin_ = Here();
    if (!page_has_text_) document_.pages.back().body.begin = begin_;
    page_has_text_ = true;
    begun_ = true;
    if (kind_ == BlockKind::kItem && level_ > 1) document_.text.append((level_ - 1U) * 2U, U' ');
  }

  void Append(std::u32string_view text) {
    if (kind_ == BlockKind::kVerbatim) return AppendVerbatim(text);
    for (const char32_t c : text) {
      if (IsSpace(c)) {
        const bool break_line = c == U'\n' && kind_ != BlockKind::kRow && kind_ != BlockKind::kHeading;
        if (begun_ && pending_ != U'\n') pending_ = break_line ? U'\n' : U' ';
        continue;
      }
      if (HasNoWidth(c)) continue;
      if (!begun_) Begin();
      if (pending_ != 0) document_.text.push_back(pending_);
      pending_ = 0;
      document_.text.push_back(c);
    }
  }

  // Without the empty lines before and after it; line ends as everywhere.
  void AppendVerbatim(std::u32string_view text) {
    for (const char32_t c : text) {
      const bool after_return = std::exchange(after_return_, c == U'\r');
      if (c == U'\n' && after_return) continue;
      if (c == U'\n' || c == U'\r') {
        held_.erase(held_.find_last_not_of(U" \t") + 1);
        if (begun_) {
          held_.push_back(U'\n');
        } else {
          held_.clear();
        }
        continue;
      }
      if (c == U' ' || c == U'\t') {
        held_.push_back(c);
        continue;
      }
      if (c < 0x20 || c == 0x7F) continue;
      if (!begun_) Begin();
      document_.text += held_;
      held_.clear();
      document_.text.push_back(c);
    }
  }

  void EndBlock() {
    held_.clear();
    pending_ = 0;
    after_return_ = false;
    if (!std::exchange(begun_, false)) return;
    last_kind_ = kind_;
    document_.pages.back().body.end = Here();
    if (kind_ != BlockKind::kHeading) return;
    std::u32string_view title = std::u32string_view(document_.text).substr(begin_);
    document_.headings.push_back({.span = {begin_, Here()},
                                  .level = std::max<uint8_t>(1, level_),
                                  .title = ToUtf8(title.substr(0, kTitleCharsMax))});
  }

  static constexpr size_t kTitleCharsMax = 1000;

  RawDocument raw_;
  ExtractedDocument document_;
  BlockKind kind_ = BlockKind::kParagraph;  // of the block at hand
  BlockKind last_kind_ = BlockKind::kParagraph;
  uint8_t level_ = 0;
  bool begun_ = false;  // something of it stands in the text
  bool page_has_text_ = false;
  uint32_t begin_ = 0;
  char32_t pending_ = 0;  // white space that is written when something follows
  std::u32string held_;   // the same of a verbatim block
  bool after_return_ = false;
};

}  // namespace

ExtractedDocument BuildFromBlocks(RawDocument raw) { return BlockBuilder(std::move(raw)).Build(); }

}  // namespace carrel::retrieval
