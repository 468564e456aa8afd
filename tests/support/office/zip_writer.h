// ZIP archives, sound or not, for tests of what reads them: every field of an entry can be made to lie.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace carrel::testing {

struct ZipEntry {
  std::string name;
  std::string content;
  bool deflated = true;
  // Instead of the truth, in both headers.
  std::optional<uint32_t> claimed_size;
  std::optional<uint32_t> claimed_crc;
  std::optional<uint16_t> method;
  uint16_t flags = 0;                // 1: encrypted
  uint32_t external_attributes = 0;  // (0120777 << 16): a symbolic link
};

[[nodiscard]] std::string ZipOf(const std::vector<ZipEntry>& entries);

// Office documents of few parts; texts are XML. `document`: what stands in <w:body>.
[[nodiscard]] std::vector<ZipEntry> DocxParts(std::string_view body);
[[nodiscard]] std::string DocxOf(std::string_view body);
// Each sheet: its name, and what stands in <sheetData>. `shared`: what stands in <sst>.
[[nodiscard]] std::vector<ZipEntry> XlsxParts(const std::vector<std::pair<std::string, std::string>>& sheets,
                                              std::string_view shared = "", std::string_view styles = "");
[[nodiscard]] std::string XlsxOf(const std::vector<std::pair<std::string, std::string>>& sheets,
                                 std::string_view shared = "", std::string_view styles = "");
// Each slide: what stands in <p:spTree>.
[[nodiscard]] std::vector<ZipEntry> PptxParts(const std::vector<std::string>& slides);
[[nodiscard]] std::string PptxOf(const std::vector<std::string>& slides);
// A shape with a paragraph; `placeholder` as "title", or "".
[[nodiscard]] std::string SlideShape(std::string_view text, std::string_view placeholder = "");

[[nodiscard]] std::string Repeated(std::string_view text, size_t times);

}  // namespace carrel::testing
