// csv, tsv, json, jsonl and text files. The first byte says which.
#include "csv.h"
#include "document_promises.h"
#include "fuzzer.h"
#include "json.h"
#include "plain_text.h"

namespace carrel::fuzz {

using namespace retrieval::extract;  // NOLINT(google-build-using-namespace)
using retrieval::wire::DocumentType;

void Target(std::string_view input) {
  Bytes bytes(input);
  const uint8_t which = bytes.Byte();
  const std::string_view rest = bytes.Rest();
  CheckReader([&](FrameWriter& out) {
    switch (which % 6) {
      case 0:
        return ExtractCsv(rest, DocumentType::kCsv, out);
      case 1:
        return ExtractCsv(rest, DocumentType::kTsv, out);
      case 2:
        return ExtractJson(rest, DocumentType::kJson, out);
      case 3:
        return ExtractJson(rest, DocumentType::kJsonLines, out);
      case 4:
        return ExtractPlainText(rest, DocumentType::kMarkdown, out);
      default:
        return ExtractPlainText(rest, DocumentType::kPython, out);
    }
  });
}

}  // namespace carrel::fuzz
