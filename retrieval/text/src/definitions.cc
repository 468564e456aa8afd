#include "definitions.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>

#include "characters.h"

namespace carrel::retrieval {
namespace {

using wire::DocumentType;
using Words = std::span<const std::u32string_view>;

constexpr std::u32string_view kPythonBefore[] = {U"async"};
constexpr std::u32string_view kPythonDefines[] = {U"class", U"def"};
constexpr std::u32string_view kRubyDefines[] = {U"class", U"def", U"module"};
constexpr std::u32string_view kGoDefines[] = {U"func", U"type"};
constexpr std::u32string_view kRustBefore[] = {U"async", U"const", U"pub", U"pub(crate)", U"unsafe"};
constexpr std::u32string_view kRustDefines[] = {U"enum", U"fn", U"impl", U"mod", U"struct", U"trait"};
constexpr std::u32string_view kBracesBefore[] = {U"abstract", U"async",    U"declare", U"default", U"export",
                                                 U"final",    U"internal", U"partial", U"private", U"protected",
                                                 U"public",   U"sealed",   U"static",  U"strictfp"};
constexpr std::u32string_view kBracesDefines[] = {U"class",     U"enum",   U"function", U"function*", U"interface",
                                                  U"namespace", U"record", U"struct",   U"trait"};

struct Grammar {
  Words before;   // words that may stand before
  Words defines;  // the word that makes it a definition
};

Grammar GrammarOf(DocumentType type) {
  switch (type) {
    case DocumentType::kPython:
      return {kPythonBefore, kPythonDefines};
    case DocumentType::kRuby:
      return {{}, kRubyDefines};
    case DocumentType::kGo:
      return {{}, kGoDefines};
    case DocumentType::kRust:
      return {kRustBefore, kRustDefines};
    case DocumentType::kBraces:
      return {kBracesBefore, kBracesDefines};
    default:
      return {};
  }
}

constexpr size_t kTitleCharsMax = 200;

bool Has(Words words, std::u32string_view word) { return std::find(words.begin(), words.end(), word) != words.end(); }

// "export default class Pump extends Device {" -> "class Pump extends Device".
std::optional<std::u32string_view> DefinitionIn(std::u32string_view line, const Grammar& grammar) {
  std::u32string_view rest = line;
  while (true) {
    const size_t space = rest.find(U' ');
    if (space == std::u32string_view::npos) return std::nullopt;
    const std::u32string_view word = rest.substr(0, space);
    if (Has(grammar.defines, word)) break;
    if (!Has(grammar.before, word)) return std::nullopt;
    rest.remove_prefix(std::min(rest.find_first_not_of(U' ', space), rest.size()));
  }
  while (!rest.empty() && (IsSpace(rest.back()) || rest.back() == U'{' || rest.back() == U':')) rest.remove_suffix(1);
  return rest.substr(0, kTitleCharsMax);
}

struct Section {
  uint8_t level;
  std::u32string_view title;
};

// "\section*{The title}" on a line.
std::optional<Section> TexSectionIn(std::u32string_view line) {
  static constexpr std::array<std::u32string_view, 6> kCommands = {U"\\part",       U"\\chapter",       U"\\section",
                                                                   U"\\subsection", U"\\subsubsection", U"\\paragraph"};
  for (size_t i = 0; i < kCommands.size(); ++i) {
    std::u32string_view rest = line;
    if (!rest.starts_with(kCommands[i])) continue;
    rest.remove_prefix(kCommands[i].size());
    if (rest.starts_with(U'*')) rest.remove_prefix(1);
    if (!rest.starts_with(U'{')) continue;
    rest.remove_prefix(1);
    const size_t end = rest.find(U'}');
    if (end == std::u32string_view::npos || end == 0) return std::nullopt;
    return Section{static_cast<uint8_t>(i + 1), rest.substr(0, std::min(end, kTitleCharsMax))};
  }
  return std::nullopt;
}

}  // namespace

std::vector<Heading> FindDefinitions(std::u32string_view text, DocumentType type) {
  std::vector<Heading> headings;
  const Grammar grammar = GrammarOf(type);
  const bool tex = type == DocumentType::kTex;
  if (!tex && grammar.defines.empty()) return headings;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(U'\n', begin), text.size());
    const std::u32string_view line = text.substr(begin, end - begin);
    const Span span{static_cast<uint32_t>(begin), static_cast<uint32_t>(end)};
    begin = end + 1;
    if (tex) {
      if (const auto section = TexSectionIn(line)) {
        headings.push_back({.span = span, .level = section->level, .title = ToUtf8(section->title)});
      }
    } else if (const auto definition = DefinitionIn(line, grammar)) {
      headings.push_back({.span = span, .level = 1, .title = ToUtf8(*definition)});
    }
  }
  return headings;
}

}  // namespace carrel::retrieval
