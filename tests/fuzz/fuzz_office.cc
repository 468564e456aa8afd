// docx, xlsx and pptx. The first byte says which, and whether the rest is an archive or the parts of one.
#include <vector>

#include "document_promises.h"
#include "docx.h"
#include "fuzzer.h"
#include "office/zip_writer.h"
#include "pptx.h"
#include "xlsx.h"

namespace carrel::fuzz {
namespace {

using namespace retrieval::extract;  // NOLINT(google-build-using-namespace)
using testing::ZipEntry;

constexpr std::string_view kRelations =
    "<Relationships><Relationship Id='a' Type='/officeDocument' Target='x/main.xml'/></Relationships>";
constexpr std::string_view kPartRelations =
    "<Relationships><Relationship Id='s' Type='/styles' Target='1.xml'/><Relationship Id='n' Type='/numbering' "
    "Target='2.xml'/><Relationship Id='f' Type='/footnotes' Target='3.xml'/><Relationship Id='t' Type='/sharedStrings' "
    "Target='2.xml'/><Relationship Id='r1' Type='/worksheet' Target='3.xml'/><Relationship Id='r2' Type='/slide' "
    "Target='1.xml'/><Relationship Id='r3' Type='/slide' Target='2.xml'/></Relationships>";

// The main part and three more, set apart by a record separator, so that a mutation is one of XML and not of checksums.
std::string Archive(std::string_view input) {
  std::vector<ZipEntry> parts = {
      {.name = "_rels/.rels", .content = std::string(kRelations), .deflated = false},
      {.name = "x/_rels/main.xml.rels", .content = std::string(kPartRelations), .deflated = false}};
  for (const char* name : {"x/main.xml", "x/1.xml", "x/2.xml", "x/3.xml"}) {
    const size_t end = std::min(input.find('\x1E'), input.size());
    parts.push_back({.name = name, .content = std::string(input.substr(0, end)), .deflated = false});
    input.remove_prefix(std::min(end + 1, input.size()));
  }
  return testing::ZipOf(parts);
}

}  // namespace

void Target(std::string_view input) {
  Bytes bytes(input);
  const uint8_t how = bytes.Byte();
  const std::string document = how % 4 == 3 ? std::string(bytes.Rest()) : Archive(bytes.Rest());
  CheckReader([&](FrameWriter& out) {
    switch (how / 4 % 3) {
      case 0:
        return ExtractDocx(document, out);
      case 1:
        return ExtractXlsx(document, 20, out);
      default:
        return ExtractPptx(document, 20, out);
    }
  });
}

}  // namespace carrel::fuzz
