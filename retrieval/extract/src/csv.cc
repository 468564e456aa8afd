#include "csv.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "block_writer.h"
#include "decode_text.h"
#include "table_rows.h"

namespace carrel::retrieval::extract {
namespace {

using wire::ExtractVerdict;

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// Takes a "sep=" line off `text`.
char DelimiterOf(wire::DocumentType type, std::string_view& text) {
  const std::string_view line = text.substr(0, text.find_first_of("\r\n"));
  if (line.size() == 5 && line.starts_with("sep=")) {
    const char delimiter = line[4];
    text.remove_prefix(line.size());
    return delimiter;
  }
  if (type == wire::DocumentType::kTsv) return '\t';
  bool quoted = false;
  bool semicolon = false;
  bool tab = false;
  for (const char c : line) {
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    if (c == ',') return ',';
    semicolon = semicolon || c == ';';
    tab = tab || c == '\t';
  }
  return semicolon ? ';' : tab ? '\t' : ',';
}

class CsvReader final {
 public:
  CsvReader(std::string_view text, char delimiter, BlockWriter& out)
      : text_(text), delimiter_(delimiter), rows_(out, /*titles_above=*/false) {}

  void Read() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"' && field_.empty() && !was_quoted_) {
        ReadQuoted();
      } else if (c == delimiter_) {
        ++at_;
        EndField();
      } else if (c == '\n' || c == '\r') {
        at_ += text_.substr(at_).starts_with("\r\n") ? 2 : 1;
        EndField();
        EndRow();
      } else {
        ReadPlain();
      }
    }
    EndField();
    EndRow();
    rows_.Finish();
  }

 private:
  void ReadPlain() {
    const char stops[] = {delimiter_, '\n', '\r'};
    const size_t end = std::min(text_.find_first_of(std::string_view(stops, sizeof stops), at_), text_.size());
    Append(text_.substr(at_, end - at_));
    at_ = end;
  }

  void ReadQuoted() {
    was_quoted_ = true;
    ++at_;
    while (at_ < text_.size()) {
      const size_t quote = std::min(text_.find('"', at_), text_.size());
      Append(text_.substr(at_, quote - at_));
      at_ = std::min(quote + 1, text_.size());
      if (at_ == text_.size() || text_[at_] != '"') return;
      Append("\"");
      ++at_;
    }
  }

  void Append(std::string_view piece) {
    if (field_.size() + piece.size() > kCsvCellBytesMax) {
      field_ += CutUtf8(piece, kCsvCellBytesMax - field_.size());
      EndField();
      EndRow();
      rows_.Finish();
      throw ShapeLimit{"at most 1 MiB of a cell is read, and row " + std::to_string(row_number_) +
                       " has a longer one (a quote that is not closed makes one)"};
    }
    field_ += piece;
  }

  void EndField() {
    if (column_ == kCsvColumnsMax) {
      EndRow();
      rows_.Finish();
      throw ShapeLimit{"at most " + std::to_string(kCsvColumnsMax) + " columns of a row are read, and row " +
                       std::to_string(row_number_) + " has more"};
    }
    if (const std::string_view text = Trimmed(field_); !text.empty()) {
      cells_.push_back({.column = column_, .text = std::string(text)});
    }
    field_.clear();
    was_quoted_ = false;
    ++column_;
  }

  void EndRow() {
    ++row_number_;
    column_ = 0;
    if (!cells_.empty()) rows_.Add(std::exchange(cells_, {}));
  }

  const std::string_view text_;
  const char delimiter_;
  TableRows rows_;
  size_t at_ = 0;
  std::string field_;
  bool was_quoted_ = false;
  std::vector<Cell> cells_;
  uint32_t column_ = 0;
  uint64_t row_number_ = 0;  // of rows ended
};

}  // namespace

Verdict ExtractCsv(std::string_view bytes, wire::DocumentType type, FrameWriter& out) {
  const Decoded decoded = DecodeText(bytes, type == wire::DocumentType::kTsv ? "TSV" : "CSV");
  if (!decoded.text) return decoded.refusal;
  return ReadBlocks(out, [&](BlockWriter& blocks) -> Verdict {
    std::string_view text = decoded.text->view();
    const char delimiter = DelimiterOf(type, text);
    blocks.Document(type, 0, "");
    CsvReader(text, delimiter, blocks).Read();
    return {.verdict = ExtractVerdict::kRead};
  });
}

}  // namespace carrel::retrieval::extract
