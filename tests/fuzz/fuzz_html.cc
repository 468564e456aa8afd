// HTML, through gumbo.
#include "document_promises.h"
#include "fuzzer.h"
#include "html.h"

namespace carrel::fuzz {

void Target(std::string_view input) {
  CheckReader([&](retrieval::extract::FrameWriter& out) { return retrieval::extract::ExtractHtml(input, out); });
}

}  // namespace carrel::fuzz
