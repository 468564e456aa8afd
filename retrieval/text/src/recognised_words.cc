#include "recognised_words.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "utf8.h"

namespace carrel::retrieval {
namespace {

// level page block paragraph line word left top width height confidence text
constexpr size_t kFields = 12;
constexpr int kBlockLevel = 2;
constexpr int kLineLevel = 4;
constexpr int kWordLevel = 5;
// Below, tesseract itself thinks that it is rather no word: specks, lines, pictures.
constexpr double kConfidenceMin = 30;
constexpr size_t kWordBytesMax = 4096;

absl::Status Bad(const char* what) { return absl::DataLossError(std::string("character recognition: ") + what); }

struct Rectangle {
  float left = 0;
  float top = 0;
  float width = 0;
  float height = 0;
};

struct Row {
  int level = 0;
  Rectangle box;
  double confidence = -1;
  std::string_view text;
};

template <typename Number>
bool Parse(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

std::optional<Row> RowOf(std::string_view line) {
  std::array<std::string_view, kFields> fields;
  for (size_t i = 0; i < kFields; ++i) {
    const size_t tab = line.find('\t');
    if ((tab == line.npos) != (i + 1 == kFields)) return std::nullopt;
    fields[i] = line.substr(0, tab);
    line.remove_prefix(tab == line.npos ? line.size() : tab + 1);
  }
  Row row{.text = fields[11]};
  int sides[4] = {};
  for (size_t i = 0; i < 4; ++i) {
    if (!Parse(fields[6 + i], sides[i]) || sides[i] < 0 || sides[i] > (1 << 24)) return std::nullopt;
  }
  if (!Parse(fields[0], row.level) || !Parse(fields[10], row.confidence)) return std::nullopt;
  row.box = {static_cast<float>(sides[0]), static_cast<float>(sides[1]), static_cast<float>(sides[2]),
             static_cast<float>(sides[3])};
  return row;
}

struct RecognisedWord {
  Rectangle box;
  Rectangle line;
  size_t block = 0;
  size_t line_number = 0;
  std::string_view text;
};

float MiddleHeight(std::vector<float> heights) {
  if (heights.empty()) return 0;
  const auto middle = heights.begin() + static_cast<ptrdiff_t>(heights.size() / 2);
  std::nth_element(heights.begin(), middle, heights.end());
  return *middle;
}

bool IsBlank(std::string_view text) { return text.find_first_not_of(" ") == text.npos; }

}  // namespace

absl::Status PutRecognisedWords(std::string_view tsv, const RecognisedPicture& picture, uint32_t words_max,
                                RawPage& page) {
  std::vector<RecognisedWord> words;
  std::vector<std::vector<float>> heights;  // of lines, by block
  Rectangle line_box;
  size_t lines = 0;
  bool first = true;
  while (!tsv.empty()) {
    const size_t end = tsv.find('\n');
    if (end == tsv.npos) return Bad("a line without an end");
    const std::string_view line = tsv.substr(0, end);
    tsv.remove_prefix(end + 1);
    if (std::exchange(first, false) && line.starts_with("level\t")) continue;
    const std::optional<Row> row = RowOf(line);
    if (!row) return Bad("a line that is no row");
    if (row->level == kBlockLevel) heights.emplace_back();
    if (row->level == kLineLevel) {
      if (heights.empty()) return Bad("a line outside a block");
      heights.back().push_back(row->box.height);
      line_box = row->box;
      ++lines;
    }
    if (row->level != kWordLevel || row->confidence < kConfidenceMin || IsBlank(row->text)) continue;
    if (lines == 0) return Bad("a word outside a line");
    if (words.size() == words_max) return Bad("more words than there can be");
    if (row->text.size() > kWordBytesMax) return Bad("a word that is too long");
    words.push_back({row->box, line_box, heights.size() - 1, lines, row->text});
  }
  if (picture.width == 0 || picture.height == 0) return Bad("a picture without pixels");

  const float to_points = page.width / static_cast<float>(picture.width);
  std::u32string chars;
  std::vector<RawWord> found;
  for (size_t i = 0; i < words.size(); ++i) {
    const RecognisedWord& word = words[i];
    const auto begin = static_cast<uint32_t>(chars.size());
    if (AppendCodePoints(word.text, chars)) return Bad("a word that is not UTF-8");
    const auto within = [&](float pixels, float most) { return std::clamp(pixels * to_points, 0.0F, most); };
    found.push_back({.chars = {begin, static_cast<uint32_t>(chars.size())},
                     .box = {.x_min = within(word.box.left, page.width),
                             .y_min = within(word.line.top, page.height),
                             .x_max = within(word.box.left + word.box.width, page.width),
                             .y_max = within(word.line.top + word.line.height, page.height)},
                     .font_size = MiddleHeight(heights[word.block]) * to_points,
                     .space_after = i + 1 < words.size() && words[i + 1].line_number == word.line_number});
  }
  page.chars = std::move(chars);
  page.words = std::move(found);
  return absl::OkStatus();
}

}  // namespace carrel::retrieval
