#include "office/zip_writer.h"

#include <zlib.h>

#include <cstdlib>

namespace carrel::testing {
namespace {

class Bytes final {
 public:
  Bytes& U16(uint32_t value) {
    bytes_ += {static_cast<char>(value), static_cast<char>(value >> 8)};
    return *this;
  }
  Bytes& U32(uint64_t value) { return U16(static_cast<uint32_t>(value)).U16(static_cast<uint32_t>(value >> 16)); }
  Bytes& Text(std::string_view text) {
    bytes_ += text;
    return *this;
  }
  [[nodiscard]] size_t size() const { return bytes_.size(); }
  [[nodiscard]] const std::string& str() const { return bytes_; }

 private:
  std::string bytes_;
};

std::string Deflated(const std::string& content) {
  z_stream stream{};
  if (deflateInit2(&stream, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) != Z_OK) std::abort();
  std::string out(deflateBound(&stream, content.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) std::abort();
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

constexpr std::string_view kRelations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/";

std::string Relation(std::string_view id, std::string_view type, std::string_view target) {
  return "<Relationship Id=\"" + std::string(id) + "\" Type=\"" + std::string(kRelations) + std::string(type) +
         "\" Target=\"" + std::string(target) + "\"/>";
}
ZipEntry Relations(std::string name, const std::string& relations) {
  return {.name = std::move(name),
          .content =
              "<?xml version=\"1.0\"?><Relationships "
              "xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">" +
              relations + "</Relationships>"};
}

}  // namespace

std::string ZipOf(const std::vector<ZipEntry>& entries) {
  Bytes zip;
  Bytes directory;
  for (const ZipEntry& entry : entries) {
    const std::string packed = entry.deflated ? Deflated(entry.content) : entry.content;
    const uint32_t crc = entry.claimed_crc.value_or(static_cast<uint32_t>(
        crc32(0, reinterpret_cast<const Bytef*>(entry.content.data()), static_cast<uInt>(entry.content.size()))));
    const uint32_t size = entry.claimed_size.value_or(static_cast<uint32_t>(entry.content.size()));
    const uint16_t method = entry.method.value_or(entry.deflated ? 8 : 0);
    const size_t offset = zip.size();
    const auto common = [&](Bytes& out) {
      out.U16(entry.flags).U16(method).U16(0).U16(0x21).U32(crc).U32(packed.size()).U32(size);
      out.U16(static_cast<uint32_t>(entry.name.size())).U16(0);
    };
    zip.Text("PK\x03\x04").U16(20);
    common(zip);
    zip.Text(entry.name).Text(packed);
    directory.Text("PK\x01\x02").U16(0x0314).U16(20);
    common(directory);
    directory.U16(0).U16(0).U16(0).U32(entry.external_attributes).U32(offset).Text(entry.name);
  }
  const auto count = static_cast<uint32_t>(entries.size());
  const size_t at = zip.size();
  zip.Text(directory.str());
  zip.Text("PK\x05\x06").U16(0).U16(0).U16(count).U16(count).U32(directory.size()).U32(at).U16(0);
  return zip.str();
}

std::vector<ZipEntry> DocxParts(std::string_view body) {
  return {Relations("_rels/.rels", Relation("r1", "officeDocument", "word/document.xml")),
          {.name = "word/document.xml",
           .content = "<?xml version=\"1.0\"?><w:document "
                      "xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"><w:body>" +
                      std::string(body) + "</w:body></w:document>"}};
}
std::string DocxOf(std::string_view body) { return ZipOf(DocxParts(body)); }

std::vector<ZipEntry> XlsxParts(const std::vector<std::pair<std::string, std::string>>& sheets, std::string_view shared,
                                std::string_view styles) {
  std::string list;
  std::string relations = Relation("s", "sharedStrings", "sharedStrings.xml") + Relation("t", "styles", "styles.xml");
  std::vector<ZipEntry> parts = {Relations("_rels/.rels", Relation("r1", "officeDocument", "xl/workbook.xml"))};
  for (size_t i = 0; i < sheets.size(); ++i) {
    const std::string number = std::to_string(i + 1);
    list += "<sheet name=\"" + sheets[i].first + "\" sheetId=\"" + number + "\" r:id=\"r" + number + "\"/>";
    relations += Relation("r" + number, "worksheet", "worksheets/sheet" + number + ".xml");
    parts.push_back({.name = "xl/worksheets/sheet" + number + ".xml",
                     .content = "<worksheet><sheetData>" + sheets[i].second + "</sheetData></worksheet>"});
  }
  parts.push_back(Relations("xl/_rels/workbook.xml.rels", relations));
  parts.push_back({.name = "xl/workbook.xml",
                   .content = "<workbook xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/"
                              "relationships\"><sheets>" +
                              list + "</sheets></workbook>"});
  parts.push_back({.name = "xl/sharedStrings.xml", .content = "<sst>" + std::string(shared) + "</sst>"});
  if (!styles.empty()) {
    parts.push_back({.name = "xl/styles.xml", .content = "<styleSheet>" + std::string(styles) + "</styleSheet>"});
  }
  return parts;
}
std::string XlsxOf(const std::vector<std::pair<std::string, std::string>>& sheets, std::string_view shared,
                   std::string_view styles) {
  return ZipOf(XlsxParts(sheets, shared, styles));
}

std::vector<ZipEntry> PptxParts(const std::vector<std::string>& slides) {
  std::string list;
  std::string relations;
  std::vector<ZipEntry> parts = {Relations("_rels/.rels", Relation("r1", "officeDocument", "ppt/presentation.xml"))};
  for (size_t i = 0; i < slides.size(); ++i) {
    const std::string number = std::to_string(i + 1);
    list += "<p:sldId id=\"" + std::to_string(256 + i) + "\" r:id=\"r" + number + "\"/>";
    relations += Relation("r" + number, "slide", "slides/slide" + number + ".xml");
    parts.push_back({.name = "ppt/slides/slide" + number + ".xml",
                     .content = "<p:sld xmlns:p=\"p\" xmlns:a=\"a\"><p:cSld><p:spTree>" + slides[i] +
                                "</p:spTree></p:cSld></p:sld>"});
  }
  parts.push_back(Relations("ppt/_rels/presentation.xml.rels", relations));
  parts.push_back({.name = "ppt/presentation.xml",
                   .content = "<p:presentation xmlns:p=\"p\" xmlns:r=\"r\"><p:sldIdLst>" + list +
                              "</p:sldIdLst></p:presentation>"});
  return parts;
}
std::string PptxOf(const std::vector<std::string>& slides) { return ZipOf(PptxParts(slides)); }

std::string SlideShape(std::string_view text, std::string_view placeholder) {
  const std::string type = placeholder.empty() ? "" : "<p:ph type=\"" + std::string(placeholder) + "\"/>";
  return "<p:sp><p:nvSpPr><p:nvPr>" + type + "</p:nvPr></p:nvSpPr><p:txBody><a:p><a:r><a:t>" + std::string(text) +
         "</a:t></a:r></a:p></p:txBody></p:sp>";
}

std::string Repeated(std::string_view text, size_t times) {
  std::string out;
  out.reserve(text.size() * times);
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

}  // namespace carrel::testing
