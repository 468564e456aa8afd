// Names of files that hostile code made. Promised: what is told of a name is printable UTF-8 on one line, a name that
// is accepted is told as it is, and never leaves the workspace.
#include <algorithm>

#include "fuzzer.h"
#include "interpreter/engine/artifacts.h"
#include "interpreter/engine/utf8.h"

namespace carrel::fuzz {

void Target(std::string_view input) {
  using namespace interpreter;  // NOLINT(google-build-using-namespace)
  std::string escaped = EscapePath(input);
  // Planted: one control character is let through.
  if (Planted() && input.find('\x7F') != std::string_view::npos) escaped += '\x7F';
  FUZZ_CHECK(IsUtf8(escaped));
  FUZZ_CHECK(
      std::none_of(escaped.begin(), escaped.end(), [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7F; }));
  for (const std::string_view turns : {"\xE2\x80\xAE", "\xE2\x81\xA6", "\xC2\x9B", "\xE2\x80\xA8", "\xEF\xBB\xBF"}) {
    FUZZ_CHECK(escaped.find(turns) == std::string::npos);
  }
  if (CheckPath("path", input).ok()) {
    FUZZ_CHECK(escaped == input || input.find('\\') != std::string_view::npos);
    FUZZ_CHECK(!input.empty() && input.front() != '/' && input.size() <= 1024);
    const std::string bounded = "/" + std::string(input) + "/";
    FUZZ_CHECK(bounded.find("/../") == std::string::npos && bounded.find("/./") == std::string::npos);
    FUZZ_CHECK(bounded.find("//") == std::string::npos);
  }
  // The comparison of a workspace with itself and with nothing.
  sandbox::WorkspaceListing listing;
  Bytes bytes(input);
  const auto kind = static_cast<sandbox::WorkspaceEntry::Kind>(bytes.Byte() % 6);
  listing.entries.push_back({.path = std::string(bytes.Rest()), .kind = kind});
  FUZZ_CHECK(Compare(StateOf(listing), listing).files.empty());
  const WorkspaceChanges all = Compare({}, listing);
  FUZZ_CHECK(all.files.size() + all.skipped.size() == (kind == sandbox::WorkspaceEntry::Kind::kDirectory ? 0 : 1));
  for (const sandbox::WorkspaceEntry& file : all.files) FUZZ_CHECK(IsUtf8(file.path));
  // Output, cut anywhere.
  std::string whole;
  std::string pieces;
  Utf8Repair repair;
  whole = RepairUtf8(input);
  InPieces(input, static_cast<uint8_t>(input.size()), [&](std::string_view piece) { pieces += repair.Feed(piece); });
  pieces += repair.Finish();
  FUZZ_CHECK(whole == pieces && IsUtf8(whole));
  FUZZ_CHECK(!MediaType(input, input.substr(0, 64)).empty());
}

}  // namespace carrel::fuzz
