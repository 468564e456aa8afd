#include "sniff.h"

#include <algorithm>

namespace carrel::retrieval::extract {
namespace {

struct Magic {
  std::string_view bytes;
  std::string_view name;
};
using namespace std::string_view_literals;
constexpr Magic kMagics[] = {
    {"%PDF-"sv, "a PDF"},
    {"PK\x03\x04"sv, "a ZIP archive"},
    {"PK\x05\x06"sv, "an empty ZIP archive"},
    {"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"sv, "an old or encrypted Office document"},
    {"{\\rtf"sv, "RTF"},
    {"\x89PNG\r\n\x1A\n"sv, "a PNG picture"},
    {"\xFF\xD8\xFF"sv, "a JPEG picture"},
    {"GIF8"sv, "a GIF picture"},
    {"RIFF"sv, "a RIFF file (sound, film or WebP)"},
    {"II*\0"sv, "a TIFF picture"},
    {"MM\0*"sv, "a TIFF picture"},
    {"\x1F\x8B"sv, "a gzip file"},
    {"BZh"sv, "a bzip2 file"},
    {"\xFD"
     "7zXZ"sv,
     "an xz file"},
    {"7z\xBC\xAF\x27\x1C"sv, "a 7-Zip archive"},
    {"Rar!"sv, "a RAR archive"},
    {"\x7F"
     "ELF"sv,
     "an executable"},
    {"MZ\x90"sv, "an executable"},
    {"SQLite format 3"sv, "an SQLite database"},
    {"%!PS"sv, "PostScript"},
};

}  // namespace

std::string_view LooksLike(std::string_view bytes) {
  for (const Magic& magic : kMagics) {
    if (bytes.starts_with(magic.bytes)) return magic.name;
  }
  return "";
}

bool IsOle(std::string_view bytes) { return bytes.starts_with("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"); }
bool IsZip(std::string_view bytes) { return bytes.starts_with("PK\x03\x04") || bytes.starts_with("PK\x05\x06"); }

Verdict Mismatch(std::string_view name_says, std::string_view looks) {
  std::string sentence = "Its name says ";
  sentence += name_says;
  sentence += " and its bytes are ";
  sentence += looks.empty() ? "something else" : looks;
  sentence += '.';
  return {.verdict = wire::ExtractVerdict::kUnsupported, .sentence = std::move(sentence)};
}

}  // namespace carrel::retrieval::extract
