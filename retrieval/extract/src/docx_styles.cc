#include "docx_styles.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace carrel::retrieval::extract {
namespace {

constexpr uint32_t kCountMax = 1'000'000;

uint32_t ToNumber(std::string_view text, uint32_t otherwise) {
  uint32_t value = otherwise;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::min(value, kCountMax) : otherwise;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return lower;
}

std::string_view ValueOf(const XmlTree& tree, XmlTree::Id parent, std::string_view child) {
  const XmlTree::Id found = tree.Child(parent, child);
  return found == 0 ? std::string_view() : tree.Attribute(found, "val");
}

// a, b, ..., z, aa, bb, ...: as Word counts.
std::string Letters(uint32_t number, char first) {
  if (number == 0) return "0";
  const uint32_t times = std::min<uint32_t>((number - 1) / 26 + 1, 20);
  return std::string(times, static_cast<char>(first + (number - 1) % 26));
}

std::string Formatted(uint32_t number, std::string_view format) {
  if (format == "lowerLetter") return Letters(number, 'a');
  if (format == "upperLetter") return Letters(number, 'A');
  if (format == "lowerRoman") return Roman(number);
  if (format == "upperRoman") {
    std::string roman = Roman(number);
    for (char& c : roman) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    return roman;
  }
  if (format == "decimalZero" && number < 10) return "0" + std::to_string(number);
  return std::to_string(number);
}

}  // namespace

std::string Roman(uint32_t number) {
  static constexpr std::pair<uint32_t, std::string_view> kParts[] = {
      {1000, "m"}, {900, "cm"}, {500, "d"}, {400, "cd"}, {100, "c"}, {90, "xc"}, {50, "l"},
      {40, "xl"},  {10, "x"},   {9, "ix"},  {5, "v"},    {4, "iv"},  {1, "i"}};
  if (number == 0 || number > 4999) return std::to_string(number);
  std::string roman;
  for (const auto& [value, letters] : kParts) {
    for (; number >= value; number -= value) roman += letters;
  }
  return roman;
}

NumberingRef NumberingOf(const XmlTree& tree, XmlTree::Id properties) {
  const XmlTree::Id numbering = properties == 0 ? 0 : tree.Child(properties, "numPr");
  if (numbering == 0) return {};
  return {.id = std::string(ValueOf(tree, numbering, "numId")), .level = ToNumber(ValueOf(tree, numbering, "ilvl"), 0)};
}

DocxStyles::DocxStyles(const XmlTree& tree) {
  tree.EachChild(0, [&](XmlTree::Id id) {
    if (tree.Name(id) != "style") return;
    Style style{.name = Lower(ValueOf(tree, id, "name")), .based_on = std::string(ValueOf(tree, id, "basedOn"))};
    if (const XmlTree::Id properties = tree.Child(id, "pPr"); properties != 0) {
      const std::string_view level = ValueOf(tree, properties, "outlineLvl");
      if (!level.empty()) style.outline_level = static_cast<uint8_t>(std::min<uint32_t>(ToNumber(level, 9), 9));
      style.numbering = NumberingOf(tree, properties);
    }
    styles_.insert_or_assign(std::string(tree.Attribute(id, "styleId")), std::move(style));
  });
}

DocxStyles::Paragraph DocxStyles::Of(std::string_view style_id) const {
  Paragraph paragraph;
  std::optional<uint8_t> outline;
  std::string_view next = style_id;
  // A style based on itself, by whatever way, ends here.
  for (int steps = 0; steps < 20 && !next.empty(); ++steps) {
    const auto style = styles_.find(next);
    if (style == styles_.end()) break;
    const Style& s = style->second;
    paragraph.contents = paragraph.contents || s.name.starts_with("toc ") || s.name == "toc heading";
    if (!outline) outline = s.outline_level;
    if (!outline && s.name == "title") outline = 0;
    if (!outline && s.name.starts_with("heading ")) {
      const uint32_t level = ToNumber(s.name.substr(8), 0);
      if (level >= 1 && level <= 9) outline = static_cast<uint8_t>(level - 1);
    }
    if (paragraph.numbering.id.empty()) paragraph.numbering = s.numbering;
    next = s.based_on;
  }
  // Level 9 is body text.
  if (outline && *outline < 9) paragraph.heading = static_cast<uint8_t>(*outline + 1);
  return paragraph;
}

DocxNumbering::DocxNumbering(const XmlTree& tree) {
  const auto read_level = [&](XmlTree::Id id, Level& level) {
    level.start = ToNumber(ValueOf(tree, id, "start"), 1);
    if (const std::string_view format = ValueOf(tree, id, "numFmt"); !format.empty()) level.format = format;
    level.text = ValueOf(tree, id, "lvlText").substr(0, 100);
  };
  tree.EachChild(0, [&](XmlTree::Id id) {
    if (tree.Name(id) == "abstractNum") {
      Abstract& abstract = abstracts_[std::string(tree.Attribute(id, "abstractNumId"))];
      tree.EachChild(id, [&](XmlTree::Id child) {
        const uint32_t level = ToNumber(tree.Attribute(child, "ilvl"), kLevels);
        if (tree.Name(child) == "lvl" && level < kLevels) read_level(child, abstract.levels[level]);
      });
    } else if (tree.Name(id) == "num") {
      Number& number = numbers_[std::string(tree.Attribute(id, "numId"))];
      number.abstract = ValueOf(tree, id, "abstractNumId");
      tree.EachChild(id, [&](XmlTree::Id child) {
        const std::string_view start = ValueOf(tree, child, "startOverride");
        if (tree.Name(child) != "lvlOverride" || start.empty()) return;
        number.restarts[ToNumber(tree.Attribute(child, "ilvl"), 0)] = ToNumber(start, 1);
      });
    }
  });
}

std::string DocxNumbering::Next(const NumberingRef& ref) {
  const auto number = numbers_.find(ref.id);
  if (number == numbers_.end() || ref.level >= kLevels) return "";
  const auto found = abstracts_.find(number->second.abstract);
  if (found == abstracts_.end()) return "";
  Abstract& abstract = found->second;
  const Level& level = abstract.levels[ref.level];
  if (level.format == "bullet") return "- ";
  if (level.format == "none") return "";
  uint32_t& count = abstract.count[ref.level];
  if (const auto restart = number->second.restarts.find(ref.level); restart != number->second.restarts.end()) {
    count = restart->second;
    number->second.restarts.erase(restart);
  } else {
    count = abstract.begun[ref.level] ? std::min(count + 1, kCountMax) : level.start;
  }
  abstract.begun[ref.level] = true;
  for (uint32_t deeper = ref.level + 1; deeper < kLevels; ++deeper) abstract.begun[deeper] = false;

  std::string mark;
  for (size_t i = 0; i < level.text.size(); ++i) {
    if (level.text[i] != '%' || i + 1 == level.text.size() || level.text[i + 1] < '1' || level.text[i + 1] > '9') {
      mark += level.text[i];
      continue;
    }
    const auto which = static_cast<uint32_t>(level.text[++i] - '1');
    const uint32_t value = abstract.begun[which] ? abstract.count[which] : abstract.levels[which].start;
    mark += Formatted(value, abstract.levels[which].format);
  }
  return mark.empty() ? "" : mark + " ";
}

}  // namespace carrel::retrieval::extract
