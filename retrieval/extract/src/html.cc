#include "html.h"

#include <gumbo.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "block_writer.h"
#include "decode_text.h"
#include "html_guard.h"
#include "sniff.h"
#include "utf.h"

namespace carrel::retrieval::extract {
namespace {

using wire::BlockKind;
using wire::ExtractVerdict;

// gumbo does not look at what it gets. The words are those that last_words.cc knows.
void* AllocateOrAbort(void*, size_t size) {
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) {
    std::fputs("Out of memory\n", stderr);
    std::abort();
  }
  return memory;
}
void Free(void*, void* memory) { std::free(memory); }

bool IsOneOf(GumboTag tag, std::initializer_list<GumboTag> tags) {
  return std::find(tags.begin(), tags.end(), tag) != tags.end();
}

bool IsHeading(GumboTag tag) {
  return IsOneOf(tag, {GUMBO_TAG_H1, GUMBO_TAG_H2, GUMBO_TAG_H3, GUMBO_TAG_H4, GUMBO_TAG_H5, GUMBO_TAG_H6});
}

bool IsSkipped(GumboTag tag) {
  return IsOneOf(
      tag, {GUMBO_TAG_HEAD, GUMBO_TAG_SCRIPT, GUMBO_TAG_STYLE, GUMBO_TAG_NOSCRIPT, GUMBO_TAG_TEMPLATE, GUMBO_TAG_NAV,
            GUMBO_TAG_IFRAME, GUMBO_TAG_OBJECT, GUMBO_TAG_SVG, GUMBO_TAG_SELECT, GUMBO_TAG_BUTTON, GUMBO_TAG_TEXTAREA,
            GUMBO_TAG_NOFRAMES, GUMBO_TAG_AUDIO, GUMBO_TAG_VIDEO, GUMBO_TAG_CANVAS});
}

// Ends what stands before it and after it.
bool IsBlock(GumboTag tag) {
  return IsHeading(tag) ||
         IsOneOf(tag,
                 {GUMBO_TAG_P,        GUMBO_TAG_DIV,        GUMBO_TAG_SECTION, GUMBO_TAG_ARTICLE, GUMBO_TAG_MAIN,
                  GUMBO_TAG_HEADER,   GUMBO_TAG_FOOTER,     GUMBO_TAG_ASIDE,   GUMBO_TAG_UL,      GUMBO_TAG_OL,
                  GUMBO_TAG_LI,       GUMBO_TAG_DL,         GUMBO_TAG_DT,      GUMBO_TAG_DD,      GUMBO_TAG_BLOCKQUOTE,
                  GUMBO_TAG_TABLE,    GUMBO_TAG_CAPTION,    GUMBO_TAG_TR,      GUMBO_TAG_TD,      GUMBO_TAG_TH,
                  GUMBO_TAG_FIGURE,   GUMBO_TAG_FIGCAPTION, GUMBO_TAG_ADDRESS, GUMBO_TAG_DETAILS, GUMBO_TAG_SUMMARY,
                  GUMBO_TAG_FIELDSET, GUMBO_TAG_FORM,       GUMBO_TAG_BODY,    GUMBO_TAG_CENTER,  GUMBO_TAG_HR,
                  GUMBO_TAG_PRE,      GUMBO_TAG_LISTING,    GUMBO_TAG_XMP,     GUMBO_TAG_MENU,    GUMBO_TAG_LEGEND,
                  GUMBO_TAG_PLAINTEXT});
}

bool IsVerbatim(GumboTag tag) {
  return IsOneOf(tag, {GUMBO_TAG_PRE, GUMBO_TAG_LISTING, GUMBO_TAG_XMP, GUMBO_TAG_PLAINTEXT});
}

std::string_view AttributeOf(const GumboElement& element, const char* name) {
  const GumboAttribute* attribute = gumbo_get_attribute(&element.attributes, name);
  return attribute == nullptr ? std::string_view() : std::string_view(attribute->value);
}

bool Hides(std::string_view style) {
  std::string plain;
  for (const char c : style) {
    if (c != ' ') plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  return plain.find("display:none") != std::string::npos || plain.find("visibility:hidden") != std::string::npos;
}

bool IsHidden(const GumboElement& element) {
  if (gumbo_get_attribute(&element.attributes, "hidden") != nullptr) return true;
  if (AttributeOf(element, "aria-hidden") == "true" || AttributeOf(element, "role") == "navigation") return true;
  if (Hides(AttributeOf(element, "style"))) return true;
  // The pilcrow beside a heading of Sphinx and Doxygen.
  return AttributeOf(element, "class").find("headerlink") != std::string_view::npos;
}

bool IsElement(const GumboNode& node) { return node.type == GUMBO_NODE_ELEMENT || node.type == GUMBO_NODE_TEMPLATE; }
const GumboVector* ChildrenOf(const GumboNode& node) {
  if (node.type == GUMBO_NODE_DOCUMENT) return &node.v.document.children;
  return IsElement(node) ? &node.v.element.children : nullptr;
}

// Calls enter(node) -> whether to go into it, and leave(node) for those gone into; without recursion.
template <typename Enter, typename Leave>
void Walk(const GumboNode& root, Enter enter, Leave leave) {
  struct Step {
    const GumboNode* node;
    unsigned next;
  };
  std::vector<Step> path;
  if (enter(root)) path.push_back({&root, 0});
  while (!path.empty()) {
    Step& top = path.back();
    const GumboVector* children = ChildrenOf(*top.node);
    if (children == nullptr || top.next == children->length) {
      leave(*top.node);
      path.pop_back();
      continue;
    }
    const auto* child = static_cast<const GumboNode*>(children->data[top.next++]);
    if (enter(*child)) path.push_back({child, 0});
  }
}

// Tables that hold headings, rules or tables are there for their looks.
std::unordered_set<const GumboNode*> LayoutTables(const GumboNode& root) {
  std::unordered_set<const GumboNode*> layout;
  std::vector<const GumboNode*> open;
  Walk(
      root,
      [&](const GumboNode& node) {
        if (!IsElement(node)) return node.type == GUMBO_NODE_DOCUMENT;
        const GumboTag tag = node.v.element.tag;
        if (!open.empty() && (tag == GUMBO_TAG_TABLE || tag == GUMBO_TAG_HR || IsHeading(tag))) {
          layout.insert(open.back());
        }
        if (tag == GUMBO_TAG_TABLE) open.push_back(&node);
        return true;
      },
      [&](const GumboNode& node) {
        if (!open.empty() && open.back() == &node) open.pop_back();
      });
  return layout;
}

// The text between `node`'s tags, if it is only that.
std::string TitleOf(const GumboNode& root) {
  std::string title;
  bool found = false;
  Walk(
      root,
      [&](const GumboNode& node) {
        if (node.type == GUMBO_NODE_DOCUMENT) return true;
        if (!IsElement(node) || found) return false;
        const GumboTag tag = node.v.element.tag;
        if (tag == GUMBO_TAG_TITLE) {
          found = true;
          const GumboVector& children = node.v.element.children;
          for (unsigned i = 0; i < children.length; ++i) {
            const auto* child = static_cast<const GumboNode*>(children.data[i]);
            if (child->type == GUMBO_NODE_TEXT) title += child->v.text.text;
          }
        }
        return tag == GUMBO_TAG_HTML || tag == GUMBO_TAG_HEAD;
      },
      [](const GumboNode&) {});
  std::string plain;
  for (const char c : WithoutFaults(title)) {
    const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f';
    if (!space) plain += c;
    if (space && !plain.empty() && plain.back() != ' ') plain += ' ';
  }
  if (!plain.empty() && plain.back() == ' ') plain.pop_back();
  return plain;
}

class HtmlReader final {
 public:
  HtmlReader(const GumboNode& root, BlockWriter& out) : layout_(LayoutTables(root)), out_(out) {
    Walk(
        root, [this](const GumboNode& node) { return Enter(node); }, [this](const GumboNode& node) { Leave(node); });
    End();
  }

 private:
  struct List {
    bool numbered = false;
    uint32_t next = 1;
  };

  bool Enter(const GumboNode& node) {
    switch (node.type) {
      case GUMBO_NODE_DOCUMENT:
        return true;
      case GUMBO_NODE_TEXT:
      case GUMBO_NODE_CDATA:
      case GUMBO_NODE_WHITESPACE:
        AddText(node.v.text.text);
        return false;
      case GUMBO_NODE_ELEMENT:
        break;
      default:
        return false;
    }
    const GumboElement& element = node.v.element;
    if (IsSkipped(element.tag) || IsHidden(element)) return false;
    if (element.tag == GUMBO_TAG_BR) {
      text_ += in_row_ ? ' ' : '\n';
      return false;
    }
    if (in_row_) {
      EnterWithinRow(element.tag);
    } else if (IsBlock(element.tag)) {
      EnterBlock(node);
    }
    return true;
  }

  void EnterBlock(const GumboNode& node) {
    End();
    const GumboElement& element = node.v.element;
    const GumboTag tag = element.tag;
    if (IsHeading(tag)) {
      kind_ = BlockKind::kHeading;
      level_ = static_cast<uint8_t>(tag - GUMBO_TAG_H1 + 1);
    } else if (IsVerbatim(tag)) {
      kind_ = BlockKind::kVerbatim;
    } else if (IsOneOf(tag, {GUMBO_TAG_UL, GUMBO_TAG_OL, GUMBO_TAG_MENU})) {
      const auto start =
          static_cast<uint32_t>(std::strtoul(std::string(AttributeOf(element, "start")).c_str(), nullptr, 10));
      lists_.push_back({.numbered = tag == GUMBO_TAG_OL, .next = start == 0 ? 1 : start});
    } else if (tag == GUMBO_TAG_LI) {
      BeginItem();
    } else if (tag == GUMBO_TAG_TABLE) {
      tables_.push_back(layout_.contains(&node));
    } else if (tag == GUMBO_TAG_TR && !tables_.empty() && !tables_.back()) {
      in_row_ = true;
      kind_ = BlockKind::kRow;
    }
  }

  void BeginItem() {
    kind_ = BlockKind::kItem;
    level_ = static_cast<uint8_t>(std::min<size_t>(std::max<size_t>(lists_.size(), 1), wire::kBlockLevelMax));
    marker_ = !lists_.empty() && lists_.back().numbered ? std::to_string(lists_.back().next++) + ". " : "- ";
  }

  void EnterWithinRow(GumboTag tag) {
    if (tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH) {
      if (cells_++ > 0) text_ += " | ";
    } else if (IsBlock(tag)) {
      text_ += ' ';
    }
  }

  void Leave(const GumboNode& node) {
    if (!IsElement(node)) return;
    const GumboTag tag = node.v.element.tag;
    if (in_row_ && tag != GUMBO_TAG_TR) {
      if (IsBlock(tag)) text_ += ' ';
      return;
    }
    if (!IsBlock(tag)) return;
    End();
    if (tag == GUMBO_TAG_LI) {
      marker_.clear();
      kind_ = BlockKind::kParagraph;
    }
    if (IsOneOf(tag, {GUMBO_TAG_UL, GUMBO_TAG_OL, GUMBO_TAG_MENU}) && !lists_.empty()) lists_.pop_back();
    if (tag == GUMBO_TAG_TABLE && !tables_.empty()) tables_.pop_back();
  }

  void AddText(std::string_view raw) {
    // gumbo makes bytes that are no UTF-8 of "&#x99999999999;".
    const std::string text = WithoutFaults(raw);
    if (kind_ == BlockKind::kVerbatim) {
      text_ += text;
      return;
    }
    for (const char c : text) text_ += c == '\n' || c == '\r' || c == '\t' ? ' ' : c;
  }

  // Sends what was gathered. After the first paragraph of an item come plain ones.
  void End() {
    const bool visible = text_.find_first_not_of(" \n\t\r\f") != std::string::npos;
    if (visible && !(in_row_ && text_.find_first_not_of(" |") == std::string::npos)) {
      const std::string marker = std::exchange(marker_, "");
      out_.Block(kind_, level_, kind_ == BlockKind::kItem ? marker + text_ : text_);
    }
    // An item that begins with a block of its own, <li><p>, keeps its mark for that.
    if (kind_ != BlockKind::kItem || marker_.empty()) {
      kind_ = BlockKind::kParagraph;
      level_ = 0;
    }
    in_row_ = false;
    cells_ = 0;
    text_.clear();
  }

  const std::unordered_set<const GumboNode*> layout_;
  BlockWriter& out_;
  std::string text_;
  std::string marker_;
  BlockKind kind_ = BlockKind::kParagraph;
  uint8_t level_ = 0;
  std::vector<List> lists_;
  std::vector<bool> tables_;  // whether it is layout
  bool in_row_ = false;
  uint32_t cells_ = 0;
};

// windows-1252, upper half's first quarter; 0: not assigned.
constexpr std::array<char16_t, 32> kWindows1252 = {0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                                   0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017D, 0,
                                                   0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                                   0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};

std::string FromWindows1252(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() + bytes.size() / 8);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    const char32_t mapped = byte >= 0x80 && byte < 0xA0 ? kWindows1252[byte - 0x80] : byte;
    if (mapped != 0) AppendUtf8(mapped, text);
  }
  return text;
}

// In lower case; "" when none. Declared within the first KiB, as the standard asks.
std::string DeclaredCharset(std::string_view bytes) {
  std::string head;
  for (const char c : bytes.substr(0, 1024)) head += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  size_t at = head.find("charset");
  while (at != std::string::npos) {
    size_t begin = at + 7;
    while (begin < head.size() &&
           (head[begin] == ' ' || head[begin] == '=' || head[begin] == '"' || head[begin] == '\''))
      ++begin;
    const size_t end = head.find_first_of(" \"'>;/\r\n\t", begin);
    const std::string name = head.substr(begin, std::min(end, head.size()) - begin);
    if (!name.empty() && name.size() < 40) return name;
    at = head.find("charset", at + 7);
  }
  return "";
}

bool IsWestern(std::string_view charset) {
  return charset == "windows-1252" || charset == "iso-8859-1" || charset == "latin1" || charset == "us-ascii" ||
         charset == "ascii" || charset == "cp1252" || charset == "x-cp1252";
}

Decoded DecodeHtml(std::string_view bytes) {
  Decoded decoded = DecodeText(bytes, "HTML");
  if (decoded.text || decoded.refusal.verdict == ExtractVerdict::kEmpty || !LooksLike(bytes).empty()) return decoded;
  const std::string charset = DeclaredCharset(bytes);
  if (IsWestern(charset) && bytes.find('\0') == std::string_view::npos) {
    return {.text = Text(FromWindows1252(bytes))};
  }
  if (!charset.empty() && charset != "utf-8" && charset != "utf8") {
    std::string name;
    for (const char c : charset) name += c >= 0x21 && c < 0x7F ? c : '?';
    decoded.refusal.sentence =
        "It says that its text is in " + name +
        "; UTF-8, UTF-16 with a byte order mark, ASCII and windows-1252 are read (no UTF-8 at byte " +
        std::to_string(decoded.refusal.detail) + ").";
  }
  return decoded;
}

class Tree final {
 public:
  explicit Tree(std::string_view html) {
    options_.allocator = AllocateOrAbort;
    options_.deallocator = Free;
    options_.max_errors = 0;
    output_ = gumbo_parse_with_options(&options_, html.data(), html.size());
  }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  // gumbo frees by recursion, for which a hostile tree may be too deep. The process ends soon.
  ~Tree() {
    constexpr size_t kDepthMax = 2'000;
    if (Depth() <= kDepthMax) gumbo_destroy_output(&options_, output_);
  }
  [[nodiscard]] const GumboNode& root() const { return *output_->document; }

 private:
  [[nodiscard]] size_t Depth() const {
    size_t depth = 0;
    size_t most = 0;
    Walk(
        root(),
        [&](const GumboNode& node) {
          if (ChildrenOf(node) == nullptr) return false;
          most = std::max(most, ++depth);
          return true;
        },
        [&](const GumboNode&) { --depth; });
    return most;
  }

  GumboOptions options_ = kGumboDefaultOptions;
  GumboOutput* output_ = nullptr;
};

}  // namespace

Verdict ExtractHtml(std::string_view bytes, FrameWriter& out) {
  const Decoded decoded = DecodeHtml(bytes);
  if (!decoded.text) return decoded.refusal;
  return ReadBlocks(out, [&](BlockWriter& blocks) -> Verdict {
    const HtmlCut cut = GuardHtml(decoded.text->view());
    const Tree tree(decoded.text->view().substr(0, cut.bytes));
    blocks.Document(wire::DocumentType::kHtml, 0, TitleOf(tree.root()));
    HtmlReader(tree.root(), blocks);
    if (!cut.clause.empty()) throw ShapeLimit{cut.clause};
    return {.verdict = ExtractVerdict::kRead};
  });
}

}  // namespace carrel::retrieval::extract
