#include "xlsx.h"

#include <charconv>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "block_writer.h"
#include "office_package.h"
#include "table_rows.h"
#include "xlsx_values.h"
#include "xml.h"

namespace carrel::retrieval::extract {
namespace {

using Id = XmlTree::Id;
using wire::BlockKind;
using wire::ExtractVerdict;

std::string OneLine(std::string_view text) {
  std::string line(text);
  for (char& c : line) {
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  }
  const size_t begin = line.find_first_not_of(' ');
  if (begin == std::string::npos) return "";
  return line.substr(begin, line.find_last_not_of(' ') - begin + 1);
}

void AddLimited(std::string_view piece, std::string& text) {
  if (text.size() + piece.size() > kXlsxCellBytesMax) {
    throw ShapeLimit{"at most " + std::to_string(kXlsxCellBytesMax >> 10) + " KiB of a cell are read"};
  }
  text += piece;
}

// Text of <t> below <si> and <is>; that of phonetic guides (rPh) is no part of it.
class SharedStrings final : public XmlEvents {
 public:
  void Begin(std::string_view name, const XmlAttributes&) override {
    if (name == "rPh") ++phonetic_;
    in_text_ = name == "t" && phonetic_ == 0;
  }
  void End(std::string_view name) override {
    in_text_ = false;
    if (name == "rPh") --phonetic_;
    if (name != "si") return;
    if (strings_.size() == kXlsxSharedStringsMax) {
      throw ShapeLimit{"at most " + std::to_string(kXlsxSharedStringsMax) + " different texts are read"};
    }
    strings_.push_back(OneLine(std::exchange(text_, "")));
  }
  void Text(std::string_view text) override {
    if (in_text_) AddLimited(text, text_);
  }
  [[nodiscard]] const std::string* Get(std::string_view index) const {
    uint32_t i = 0;
    const auto [end, error] = std::from_chars(index.data(), index.data() + index.size(), i);
    return error == std::errc() && i < strings_.size() ? &strings_[i] : nullptr;
  }

 private:
  std::vector<std::string> strings_;
  std::string text_;
  bool in_text_ = false;
  int phonetic_ = 0;
};

// From 0, of "AB12"; none: no reference.
std::optional<uint32_t> ColumnOf(std::string_view reference) {
  uint32_t column = 0;
  size_t letters = 0;
  while (letters < reference.size() && reference[letters] >= 'A' && reference[letters] <= 'Z' && letters < 4) {
    column = column * 26 + static_cast<uint32_t>(reference[letters++] - 'A' + 1);
  }
  return column == 0 ? std::nullopt : std::optional(column - 1);
}

struct Workbook {
  SharedStrings strings;
  CellStyles styles;
  bool from_1904 = false;
};

class SheetReader final : public XmlEvents {
 public:
  SheetReader(const Workbook& workbook, BlockWriter& out) : workbook_(workbook), rows_(out, /*titles_above=*/true) {}

  void Begin(std::string_view name, const XmlAttributes& attributes) override {
    if (name == "row") {
      column_ = 0;
      ++row_;
    } else if (name == "c") {
      BeginCell(attributes);
    } else if (name == "rPh") {
      ++phonetic_;
    }
    in_value_ = name == "v" || (name == "t" && phonetic_ == 0);
  }

  void End(std::string_view name) override {
    in_value_ = false;
    if (name == "rPh") --phonetic_;
    if (name == "c") EndCell();
    if (name == "row" && !cells_.empty()) rows_.Add(std::exchange(cells_, {}));
  }

  void Text(std::string_view text) override {
    if (in_value_) AddLimited(text, value_);
  }

  // Of the sheet, or of what was read of it.
  void Finish() {
    if (!cells_.empty()) rows_.Add(std::exchange(cells_, {}));
    rows_.Finish();
  }

 private:
  void BeginCell(const XmlAttributes& attributes) {
    column_ = ColumnOf(attributes.Get("r")).value_or(column_);
    if (column_ >= kXlsxColumnsMax || cells_.size() >= kXlsxColumnsMax) {
      throw ShapeLimit{"at most " + std::to_string(kXlsxColumnsMax) + " columns of a row are read, and row " +
                       std::to_string(row_) + " of a sheet has more"};
    }
    type_ = attributes.Get("t");
    style_ = attributes.Get("s");
    value_.clear();
  }

  void EndCell() {
    Cell cell{.column = column_++};
    if (type_ == "s") {
      if (const std::string* shared = workbook_.strings.Get(value_)) cell.text = *shared;
    } else if (type_ == "b") {
      cell.text = value_ == "1" || value_ == "true" ? "TRUE" : value_.empty() ? "" : "FALSE";
      cell.number = true;
    } else if (type_ == "str" || type_ == "inlineStr" || type_ == "e" || type_ == "d") {
      cell.text = OneLine(value_);
      cell.number = type_ == "d";
    } else if (!value_.empty()) {
      cell.text = FormatNumber(OneLine(value_), workbook_.styles.Of(style_), workbook_.from_1904);
      cell.number = true;
    }
    if (!cell.text.empty()) cells_.push_back(std::move(cell));
    value_.clear();
  }

  const Workbook& workbook_;
  TableRows rows_;
  std::vector<Cell> cells_;
  std::string type_;
  std::string style_;
  std::string value_;
  uint32_t column_ = 0;
  uint64_t row_ = 0;
  bool in_value_ = false;
  int phonetic_ = 0;
};

struct Sheet {
  std::string name;
  std::string part;
};

class XlsxReader final {
 public:
  XlsxReader(OfficePackage& package, BlockWriter& out) : package_(package), out_(out) {
    parts_ = package_.RelationshipsOf(package_.main_part());
    const std::optional<std::string> bytes = package_.Read(package_.main_part());
    const XmlTree tree = XmlTree::Parse(package_.main_part(), bytes.value_or(""));
    if (const Id properties = tree.Child(0, "workbookPr"); properties != 0) {
      const std::string_view value = tree.Attribute(properties, "date1904");
      workbook_.from_1904 = value == "1" || value == "true";
    }
    const Id sheets = tree.Child(0, "sheets");
    if (sheets == 0) return;
    tree.EachChild(sheets, [&](Id id) {
      const std::string_view state = tree.Attribute(id, "state");
      if (tree.Name(id) != "sheet" || state == "hidden" || state == "veryHidden") return;
      const auto part = parts_.find(tree.Attribute(id, "id", /*prefixed=*/true));
      if (part != parts_.end() && part->second.type != "worksheet") return;
      sheets_.push_back(
          {.name = std::string(tree.Attribute(id, "name")), .part = part == parts_.end() ? "" : part->second.target});
    });
  }

  Verdict Read(uint32_t sheets_max) {
    if (sheets_.empty())
      return {.verdict = ExtractVerdict::kEmpty, .sentence = "The workbook has no sheet that is shown."};
    out_.Document(wire::DocumentType::kXlsx, static_cast<uint32_t>(sheets_.size()), package_.Title());
    if (const std::string styles = TargetOf(parts_, "styles"); !styles.empty()) {
      if (const auto bytes = package_.Read(styles)) workbook_.styles = CellStyles(XmlTree::Parse(styles, *bytes));
    }
    if (const std::string strings = TargetOf(parts_, "sharedStrings"); !strings.empty()) {
      XmlParser parser(strings, workbook_.strings);
      if (package_.Stream(strings, [&](std::string_view piece) { parser.Feed(piece); })) parser.Finish();
    }
    const auto to_read = static_cast<uint32_t>(std::min<size_t>(sheets_.size(), sheets_max));
    uint32_t read = 0;
    for (uint32_t i = 0; i < to_read; ++i) read += ReadSheet(sheets_[i], i + 1) ? 1 : 0;
    if (read == 0) {
      return {.verdict = ExtractVerdict::kDamaged,
              .sentence = "The workbook is damaged: none of its sheets can be read."};
    }
    if (to_read < sheets_.size()) {
      return {.verdict = ExtractVerdict::kLimit, .limit = wire::ExtractLimit::kPages, .detail = to_read};
    }
    return {.verdict = ExtractVerdict::kRead};
  }

 private:
  // A sheet that turns out to be damaged ends the reading: what was read of it stands in the text already.
  bool ReadSheet(const Sheet& sheet, uint32_t number) {
    bool begun = false;
    SheetReader reader(workbook_, out_);
    XmlParser parser(sheet.part, reader);
    const auto begin = [&] {
      if (std::exchange(begun, true)) return;
      out_.Part(number, sheet.name);
      out_.Block(BlockKind::kHeading, 1, sheet.name);
    };
    try {
      const bool found = !sheet.part.empty() && package_.Stream(sheet.part, [&](std::string_view piece) {
        begin();
        parser.Feed(piece);
      });
      if (!found) return false;
      begin();
      parser.Finish();
    } catch (const Refusal& refusal) {
      if (refusal.verdict.verdict != ExtractVerdict::kDamaged) throw;
      if (!begun) return false;
      reader.Finish();
      throw ShapeLimit{"the sheet " + std::string(CutUtf8(sheet.name, 100)) + " is damaged"};
    } catch (const ShapeLimit&) {
      reader.Finish();
      throw;
    }
    reader.Finish();
    return true;
  }

  OfficePackage& package_;
  BlockWriter& out_;
  Relationships parts_;
  Workbook workbook_;
  std::vector<Sheet> sheets_;
};

}  // namespace

Verdict ExtractXlsx(std::string_view bytes, uint32_t sheets_max, FrameWriter& out) {
  return ReadBlocks(out, [&](BlockWriter& blocks) -> Verdict {
    OfficePackage package(bytes, "Excel (xlsx)", "workbook");
    return XlsxReader(package, blocks).Read(sheets_max);
  });
}

}  // namespace carrel::retrieval::extract
