// What word/styles.xml and word/numbering.xml say of paragraphs: outline levels, and the numbers of lists.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "xml.h"

namespace carrel::retrieval::extract {

struct NumberingRef {
  std::string id;  // "" or "0": none
  uint32_t level = 0;
};

class DocxStyles final {
 public:
  DocxStyles() = default;
  explicit DocxStyles(const XmlTree& styles);

  struct Paragraph {
    uint8_t heading = 0;  // 1 is the top; 0: none
    NumberingRef numbering;
    bool contents = false;  // a line of a table of contents
  };
  [[nodiscard]] Paragraph Of(std::string_view style_id) const;

 private:
  struct Style {
    std::string name;  // in lower case
    std::string based_on;
    std::optional<uint8_t> outline_level;
    NumberingRef numbering;
  };
  std::map<std::string, Style, std::less<>> styles_;
};

class DocxNumbering final {
 public:
  DocxNumbering() = default;
  explicit DocxNumbering(const XmlTree& numbering);

  // The mark of the next paragraph: "- ", "3. ", "2.1 "; "" when it has none. Counts.
  [[nodiscard]] std::string Next(const NumberingRef& ref);

 private:
  static constexpr uint32_t kLevels = 9;
  struct Level {
    std::string format = "decimal";
    std::string text;
    uint32_t start = 1;
  };
  struct Abstract {
    Level levels[kLevels];
    uint32_t count[kLevels] = {};
    bool begun[kLevels] = {};
  };
  struct Number {
    std::string abstract;
    std::map<uint32_t, uint32_t> restarts;  // level to its first number; until used
  };
  std::map<std::string, Abstract, std::less<>> abstracts_;
  std::map<std::string, Number, std::less<>> numbers_;
};

[[nodiscard]] std::string Roman(uint32_t number);

// The numPr below `properties` (a pPr).
[[nodiscard]] NumberingRef NumberingOf(const XmlTree& tree, XmlTree::Id properties);

}  // namespace carrel::retrieval::extract
