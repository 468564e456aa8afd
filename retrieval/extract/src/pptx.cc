#include "pptx.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "block_writer.h"
#include "office_package.h"
#include "xml.h"

namespace carrel::retrieval::extract {
namespace {

using Id = XmlTree::Id;
using wire::BlockKind;
using wire::ExtractVerdict;

bool Visible(std::string_view text) { return text.find_first_not_of(" \n\t\v") != std::string_view::npos; }

// "title", "body", ...; "" of what is no placeholder.
std::string_view PlaceholderOf(const XmlTree& tree, Id shape) {
  const Id head = tree.Child(shape, "nvSpPr");
  const Id properties = head == 0 ? 0 : tree.Child(head, "nvPr");
  const Id placeholder = properties == 0 ? 0 : tree.Child(properties, "ph");
  if (placeholder == 0) return "";
  const std::string_view type = tree.Attribute(placeholder, "type");
  return type.empty() ? "obj" : type;
}

std::string ParagraphText(const XmlTree& tree, Id paragraph) {
  std::string text;
  tree.EachChild(paragraph, [&](Id id) {
    const std::string_view name = tree.Name(id);
    if (name == "br") text += '\n';
    if (name != "r" && name != "fld") return;
    const Id piece = tree.Child(id, "t");
    if (piece != 0) tree.EachChild(piece, [&](Id part) { text += tree.TextOf(part); });
  });
  std::replace(text.begin(), text.end(), '\v', '\n');
  return text;
}

uint8_t LevelOf(const XmlTree& tree, Id paragraph) {
  const Id properties = tree.Child(paragraph, "pPr");
  const std::string_view level = properties == 0 ? std::string_view() : tree.Attribute(properties, "lvl");
  return level.size() == 1 && level[0] >= '0' && level[0] <= '8' ? static_cast<uint8_t>(level[0] - '0' + 1) : 1;
}

// All of a text body on one line.
std::string BodyText(const XmlTree& tree, Id body) {
  std::string text;
  tree.EachChild(body, [&](Id id) {
    if (tree.Name(id) != "p") return;
    if (!text.empty()) text += ' ';
    text += ParagraphText(tree, id);
  });
  return text;
}

// What a slide may do without: none when it is not there or damaged.
std::optional<XmlTree> TreeOf(OfficePackage& package, const std::string& part) {
  try {
    const std::optional<std::string> bytes = part.empty() ? std::nullopt : package.Read(part);
    return bytes ? std::optional(XmlTree::Parse(part, *bytes)) : std::nullopt;
  } catch (const Refusal& refusal) {
    if (refusal.verdict.verdict != ExtractVerdict::kDamaged) throw;
    return std::nullopt;
  }
}

class SlideReader final {
 public:
  SlideReader(OfficePackage& package, const Relationships& parts, BlockWriter& out)
      : package_(package), parts_(parts), out_(out) {}

  void Read(const XmlTree& slide) {
    const Id common = slide.Child(0, "cSld");
    const Id shapes = common == 0 ? 0 : slide.Child(common, "spTree");
    if (shapes == 0) return;
    ReadShapes(slide, shapes, /*titles=*/true);
    ReadShapes(slide, shapes, /*titles=*/false);
  }

  void ReadNotes(const XmlTree& notes) {
    const Id common = notes.Child(0, "cSld");
    const Id shapes = common == 0 ? 0 : notes.Child(common, "spTree");
    if (shapes == 0) return;
    std::string before = "Notes: ";
    notes.EachChild(shapes, [&](Id shape) {
      const Id body = notes.Name(shape) == "sp" ? notes.Child(shape, "txBody") : 0;
      if (body == 0 || PlaceholderOf(notes, shape) != "body") return;
      notes.EachChild(body, [&](Id id) {
        const std::string text = notes.Name(id) == "p" ? ParagraphText(notes, id) : "";
        if (!Visible(text)) return;
        out_.Block(BlockKind::kParagraph, 0, before + text);
        before.clear();
      });
    });
  }

 private:
  void ReadShapes(const XmlTree& tree, Id parent, bool titles) {
    tree.EachChild(parent, [&](Id id) {
      const std::string_view name = tree.Name(id);
      if (name == "sp") {
        ReadShape(tree, id, titles);
      } else if (name == "grpSp") {
        ReadShapes(tree, id, titles);
      } else if (name == "AlternateContent") {
        Id chosen = tree.Child(id, "Choice");
        if (chosen == 0) chosen = tree.Child(id, "Fallback");
        if (chosen != 0) ReadShapes(tree, chosen, titles);
      } else if (name == "graphicFrame" && !titles) {
        ReadGraphic(tree, id);
      }
    });
  }

  void ReadShape(const XmlTree& tree, Id shape, bool titles) {
    const std::string_view placeholder = PlaceholderOf(tree, shape);
    const Id body = tree.Child(shape, "txBody");
    const bool is_title = placeholder == "title" || placeholder == "ctrTitle";
    if (body == 0 || is_title != titles) return;
    if (placeholder == "dt" || placeholder == "ftr" || placeholder == "hdr" || placeholder == "sldNum") return;
    if (is_title) {
      const std::string text = BodyText(tree, body);
      if (Visible(text)) out_.Block(BlockKind::kHeading, 1, text);
      return;
    }
    tree.EachChild(body, [&](Id id) {
      const std::string text = tree.Name(id) == "p" ? ParagraphText(tree, id) : "";
      if (Visible(text)) out_.Block(BlockKind::kItem, LevelOf(tree, id), text);
    });
  }

  void ReadGraphic(const XmlTree& tree, Id frame) {
    const Id graphic = tree.Child(frame, "graphic");
    const Id data = graphic == 0 ? 0 : tree.Child(graphic, "graphicData");
    if (data == 0) return;
    if (const Id table = tree.Child(data, "tbl"); table != 0) ReadTable(tree, table);
    if (const Id diagram = tree.Child(data, "relIds"); diagram != 0) ReadDiagram(tree.Attribute(diagram, "dm"));
  }

  void ReadTable(const XmlTree& tree, Id table) {
    tree.EachChild(table, [&](Id row) {
      if (tree.Name(row) != "tr") return;
      std::string line;
      bool visible = false;
      bool first = true;
      tree.EachChild(row, [&](Id cell) {
        if (tree.Name(cell) != "tc") return;
        if (!std::exchange(first, false)) line += " | ";
        const Id body = tree.Child(cell, "txBody");
        const std::string text = body == 0 ? "" : BodyText(tree, body);
        visible = visible || Visible(text);
        line += text;
      });
      if (visible) out_.Row(line);
    });
  }

  void ReadDiagram(std::string_view relationship) {
    const auto part = parts_.find(relationship);
    if (part == parts_.end() || part->second.target.empty()) return;
    const std::optional<XmlTree> data = TreeOf(package_, part->second.target);
    if (!data) return;
    const XmlTree& tree = *data;
    const Id points = tree.Child(0, "ptLst");
    if (points == 0) return;
    tree.EachChild(points, [&](Id point) {
      const Id body = tree.Name(point) == "pt" ? tree.Child(point, "t") : 0;
      const std::string text = body == 0 ? "" : BodyText(tree, body);
      if (Visible(text)) out_.Block(BlockKind::kItem, 1, text);
    });
  }

  OfficePackage& package_;
  const Relationships& parts_;
  BlockWriter& out_;
};

// The slides' parts, in order; "" where the presentation names one that it does not have.
std::vector<std::string> SlidesOf(OfficePackage& package) {
  const Relationships parts = package.RelationshipsOf(package.main_part());
  const std::optional<std::string> bytes = package.Read(package.main_part());
  const XmlTree tree = XmlTree::Parse(package.main_part(), bytes.value_or(""));
  std::vector<std::string> slides;
  const Id list = tree.Child(0, "sldIdLst");
  if (list == 0) return slides;
  tree.EachChild(list, [&](Id id) {
    if (tree.Name(id) != "sldId") return;
    const auto part = parts.find(tree.Attribute(id, "id", /*prefixed=*/true));
    slides.push_back(part == parts.end() ? "" : part->second.target);
  });
  return slides;
}

// Parsed whole before its part is begun, so that a damaged slide is left out altogether.
bool ReadSlide(OfficePackage& package, const std::string& part, uint32_t number, BlockWriter& out) {
  try {
    const std::optional<std::string> bytes = part.empty() ? std::nullopt : package.Read(part);
    if (!bytes) return false;
    const XmlTree slide = XmlTree::Parse(part, *bytes);
    const Relationships parts = package.RelationshipsOf(part);
    const std::string notes_part = TargetOf(parts, "notesSlide");
    const std::optional<XmlTree> notes = TreeOf(package, notes_part);
    out.Part(number, "");
    SlideReader reader(package, parts, out);
    reader.Read(slide);
    if (notes) reader.ReadNotes(*notes);
    return true;
  } catch (const Refusal& refusal) {
    if (refusal.verdict.verdict != ExtractVerdict::kDamaged) throw;
    return false;
  }
}

}  // namespace

Verdict ExtractPptx(std::string_view bytes, uint32_t slides_max, FrameWriter& out) {
  return ReadBlocks(out, [&](BlockWriter& blocks) -> Verdict {
    OfficePackage package(bytes, "PowerPoint (pptx)", "presentation");
    const std::vector<std::string> slides = SlidesOf(package);
    if (slides.empty()) return {.verdict = ExtractVerdict::kEmpty, .sentence = "The presentation has no slide."};
    blocks.Document(wire::DocumentType::kPptx, static_cast<uint32_t>(slides.size()), package.Title());
    const auto to_read = static_cast<uint32_t>(std::min<size_t>(slides.size(), slides_max));
    uint32_t read = 0;
    for (uint32_t i = 0; i < to_read; ++i) read += ReadSlide(package, slides[i], i + 1, blocks) ? 1 : 0;
    if (read == 0) {
      return {.verdict = ExtractVerdict::kDamaged,
              .sentence = "The presentation is damaged: none of its slides can be read."};
    }
    if (to_read < slides.size()) {
      return {.verdict = ExtractVerdict::kLimit, .limit = wire::ExtractLimit::kPages, .detail = to_read};
    }
    return {.verdict = ExtractVerdict::kRead};
  });
}

}  // namespace carrel::retrieval::extract
