#include "docx.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "block_writer.h"
#include "docx_styles.h"
#include "office_package.h"
#include "xml.h"

namespace carrel::retrieval::extract {
namespace {

using Id = XmlTree::Id;
using wire::BlockKind;

// Elements that only wrap what they hold.
bool IsWrapper(std::string_view name) {
  return name == "sdt" || name == "sdtContent" || name == "ins" || name == "moveTo" || name == "smartTag" ||
         name == "customXml" || name == "hyperlink" || name == "fldSimple" || name == "bdo" || name == "dir" ||
         name == "Choice";
}

bool IsOn(const XmlTree& tree, Id properties, std::string_view name) {
  const Id found = properties == 0 ? 0 : tree.Child(properties, name);
  if (found == 0) return false;
  const std::string_view value = tree.Attribute(found, "val");
  return value != "0" && value != "false" && value != "none" && value != "off";
}

// Of an alternative, the one that is read.
Id ChosenOf(const XmlTree& tree, Id alternate) {
  const Id choice = tree.Child(alternate, "Choice");
  return choice != 0 ? choice : tree.Child(alternate, "Fallback");
}

// Notes by their id; their numbers are given in the order of the references.
struct Notes {
  std::optional<XmlTree> tree;
  std::map<std::string, Id, std::less<>> by_id;
  uint32_t referred = 0;
};

class DocxReader final {
 public:
  DocxReader(OfficePackage& package, BlockWriter& out) : out_(out) {
    const Relationships parts = package.RelationshipsOf(package.main_part());
    const auto tree_of = [&](std::string_view type) -> std::optional<XmlTree> {
      const std::string part = TargetOf(parts, type);
      std::optional<std::string> bytes = part.empty() ? std::nullopt : package.Read(part);
      return bytes ? std::optional(XmlTree::Parse(part, *bytes)) : std::nullopt;
    };
    if (const auto styles = tree_of("styles")) styles_ = DocxStyles(*styles);
    if (const auto numbering = tree_of("numbering")) numbering_ = DocxNumbering(*numbering);
    SetNotes(tree_of("footnotes"), footnotes_);
    SetNotes(tree_of("endnotes"), endnotes_);
  }

  void Read(const XmlTree& document) {
    const Id body = document.Child(0, "body");
    if (body != 0) ReadBody(document, body);
  }

 private:
  struct Pending {
    const XmlTree* tree;
    Id id;
    std::string mark;  // of a note
  };

  static void SetNotes(std::optional<XmlTree> tree, Notes& notes) {
    if (!tree) return;
    notes.tree = std::move(tree);
    notes.tree->EachChild(0, [&](Id id) {
      if (notes.tree->IsText(id)) return;
      const std::string_view type = notes.tree->Attribute(id, "type");
      if (type.empty() || type == "normal") notes.by_id.emplace(notes.tree->Attribute(id, "id"), id);
    });
  }

  void ReadBody(const XmlTree& tree, Id body) {
    tree.EachChild(body, [&](Id id) {
      const std::string_view name = tree.Name(id);
      if (name == "p") {
        ReadParagraph(tree, id);
      } else if (name == "tbl") {
        ReadTable(tree, id);
      } else if (name == "AlternateContent") {
        if (const Id chosen = ChosenOf(tree, id); chosen != 0) ReadBody(tree, chosen);
      } else if (IsWrapper(name)) {
        ReadBody(tree, id);
      }
    });
  }

  void ReadParagraph(const XmlTree& tree, Id id) {
    const Id properties = tree.Child(id, "pPr");
    const Id style = properties == 0 ? 0 : tree.Child(properties, "pStyle");
    DocxStyles::Paragraph paragraph = styles_.Of(style == 0 ? "" : tree.Attribute(style, "val"));
    if (NumberingRef own = NumberingOf(tree, properties); !own.id.empty()) paragraph.numbering = std::move(own);
    if (const Id outline = properties == 0 ? 0 : tree.Child(properties, "outlineLvl"); outline != 0) {
      const std::string_view level = tree.Attribute(outline, "val");
      if (level.size() == 1 && level[0] >= '0' && level[0] <= '8')
        paragraph.heading = static_cast<uint8_t>(level[0] - '0' + 1);
      if (level == "9") paragraph.heading = 0;
    }
    std::string text;
    AddText(tree, id, text);
    if (!paragraph.contents && text.find_first_not_of(" \n\t") != std::string::npos) Put(paragraph, std::move(text));
    ReadPending();
  }

  void Put(const DocxStyles::Paragraph& paragraph, std::string text) {
    text.insert(0, std::exchange(mark_, ""));
    const std::string number = numbering_.Next(paragraph.numbering);
    if (paragraph.heading > 0) {
      out_.Block(BlockKind::kHeading, paragraph.heading, number + text);
    } else if (!number.empty()) {
      const auto level = static_cast<uint8_t>(paragraph.numbering.level + 1);
      out_.Block(BlockKind::kItem, level, number + text);
    } else {
      out_.Block(BlockKind::kParagraph, 0, text);
    }
  }

  // Notes and text boxes of what was just read; they may have some of their own.
  void ReadPending() {
    if (in_pending_) return;
    in_pending_ = true;
    while (!pending_.empty()) {
      const std::vector<Pending> now = std::exchange(pending_, {});
      for (const Pending& pending : now) {
        mark_ = pending.mark;
        ReadBody(*pending.tree, pending.id);
        mark_.clear();
      }
    }
    in_pending_ = false;
  }

  // A table of one column is a frame around paragraphs.
  void ReadTable(const XmlTree& tree, Id table) {
    std::vector<std::vector<Id>> rows;
    size_t columns = 0;
    EachNamed(tree, table, "tr", [&](Id row) {
      if (IsOn(tree, tree.Child(row, "trPr"), "del")) return;
      rows.emplace_back();
      EachNamed(tree, row, "tc", [&](Id cell) { rows.back().push_back(cell); });
      columns = std::max(columns, rows.back().size());
    });
    for (const std::vector<Id>& row : rows) {
      if (columns == 1) {
        if (!row.empty()) ReadBody(tree, row.front());
        continue;
      }
      std::string line;
      bool visible = false;
      for (size_t i = 0; i < row.size(); ++i) {
        const std::string text = CellText(tree, row[i]);
        visible = visible || text.find_first_not_of(" \n\t") != std::string::npos;
        if (i > 0) line += " | ";
        line += text;
      }
      if (visible) out_.Row(line);
    }
    ReadPending();
  }

  std::string CellText(const XmlTree& tree, Id cell) {
    std::string text;
    tree.EachChild(cell, [&](Id id) {
      const std::string_view name = tree.Name(id);
      if (!text.empty() && text.back() != ' ') text += ' ';
      if (name == "p") {
        AddText(tree, id, text);
      } else if (name == "tbl") {
        EachNamed(tree, id, "tr",
                  [&](Id row) { EachNamed(tree, row, "tc", [&](Id inner) { text += CellText(tree, inner) + ' '; }); });
      } else if (IsWrapper(name)) {
        text += CellText(tree, id);
      }
    });
    return text;
  }

  // Children of that name, those within wrappers among them.
  template <typename Do>
  void EachNamed(const XmlTree& tree, Id parent, std::string_view name, Do call) {
    tree.EachChild(parent, [&](Id id) {
      if (tree.Name(id) == name) {
        call(id);
      } else if (IsWrapper(tree.Name(id))) {
        EachNamed(tree, id, name, call);
      }
    });
  }

  // The text of a paragraph, or of a part of one.
  void AddText(const XmlTree& tree, Id parent, std::string& text) {
    tree.EachChild(parent, [&](Id id) {
      const std::string_view name = tree.Name(id);
      if (name == "r") {
        if (!IsOn(tree, tree.Child(id, "rPr"), "vanish")) AddRun(tree, id, text);
      } else if (name == "oMath" || name == "oMathPara") {
        AddMath(tree, id, text);
      } else if (name == "AlternateContent") {
        if (const Id chosen = ChosenOf(tree, id); chosen != 0) AddText(tree, chosen, text);
      } else if (IsWrapper(name)) {
        AddText(tree, id, text);
      }
    });
  }

  void AddRun(const XmlTree& tree, Id run, std::string& text) {
    tree.EachChild(run, [&](Id id) {
      const std::string_view name = tree.Name(id);
      if (name == "t") {
        tree.EachChild(id, [&](Id piece) { text += tree.TextOf(piece); });
      } else if (name == "tab" || name == "ptab") {
        text += '\t';
      } else if (name == "br" || name == "cr") {
        text += '\n';
      } else if (name == "noBreakHyphen") {
        text += '-';
      } else if (name == "footnoteReference") {
        Refer(tree.Attribute(id, "id"), footnotes_, /*roman=*/false, text);
      } else if (name == "endnoteReference") {
        Refer(tree.Attribute(id, "id"), endnotes_, /*roman=*/true, text);
      } else if (name == "ruby") {
        if (const Id base = tree.Child(id, "rubyBase"); base != 0) AddText(tree, base, text);
      } else if (name == "AlternateContent") {
        if (const Id chosen = ChosenOf(tree, id); chosen != 0) AddRun(tree, chosen, text);
      } else if (name == "drawing" || name == "pict" || name == "object") {
        FindTextBoxes(tree, id);
      }
    });
  }

  void Refer(std::string_view id, Notes& notes, bool roman, std::string& text) {
    const auto note = notes.by_id.find(id);
    if (note == notes.by_id.end()) return;
    const uint32_t number = ++notes.referred;
    const std::string mark = "[" + (roman ? Roman(number) : std::to_string(number)) + "]";
    text += mark;
    pending_.push_back({.tree = &*notes.tree, .id = note->second, .mark = mark + " "});
    // Once: notes that refer to each other would go on for ever.
    notes.by_id.erase(note);
  }

  void AddMath(const XmlTree& tree, Id parent, std::string& text) {
    tree.EachChild(parent, [&](Id id) {
      if (tree.Name(id) == "t") {
        tree.EachChild(id, [&](Id piece) { text += tree.TextOf(piece); });
      } else {
        AddMath(tree, id, text);
      }
    });
  }

  void FindTextBoxes(const XmlTree& tree, Id parent) {
    tree.EachChild(parent, [&](Id id) {
      const std::string_view name = tree.Name(id);
      if (name == "txbxContent") {
        pending_.push_back({.tree = &tree, .id = id, .mark = ""});
      } else if (name == "AlternateContent") {
        if (const Id chosen = ChosenOf(tree, id); chosen != 0) FindTextBoxes(tree, chosen);
      } else if (!tree.IsText(id)) {
        FindTextBoxes(tree, id);
      }
    });
  }

  BlockWriter& out_;
  DocxStyles styles_;
  DocxNumbering numbering_;
  Notes footnotes_;
  Notes endnotes_;
  std::vector<Pending> pending_;
  bool in_pending_ = false;
  std::string mark_;  // of the note that is read
};

}  // namespace

Verdict ExtractDocx(std::string_view bytes, FrameWriter& out) {
  return ReadBlocks(out, [&](BlockWriter& blocks) -> Verdict {
    OfficePackage package(bytes, "Word (docx)", "document");
    blocks.Document(wire::DocumentType::kDocx, 0, package.Title());
    const std::optional<std::string> main = package.Read(package.main_part());
    const XmlTree document = XmlTree::Parse(package.main_part(), main.value_or(""));
    DocxReader(package, blocks).Read(document);
    return {.verdict = wire::ExtractVerdict::kRead};
  });
}

}  // namespace carrel::retrieval::extract
