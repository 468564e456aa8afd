// Which files a call made or changed, and their facts. SANDBOX.md §4: the workspace is hostile, it is looked at only
// through sandbox::Workspace.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "interpreter/engine/limits.h"
#include "interpreter/engine/outcome.h"
#include "sandbox/jail.h"

namespace carrel::interpreter {

enum class ReturnFiles : uint8_t { kNone, kReferences, kBytes };

// What the workspace held, by raw path.
using WorkspaceState = std::map<std::string, sandbox::WorkspaceEntry>;

[[nodiscard]] WorkspaceState StateOf(const sandbox::WorkspaceListing& listing);

struct WorkspaceChanges {
  std::vector<sandbox::WorkspaceEntry> files;  // new or changed, regular, not hidden, by path
  std::vector<SkippedFile> skipped;            // new or changed, and not an artifact
  std::vector<std::string> removed;            // files that are gone, escaped
};

// `after.incomplete` adds a "scan limit" entry, and removals are then not told.
[[nodiscard]] WorkspaceChanges Compare(const WorkspaceState& before, const sandbox::WorkspaceListing& after);

// Hashes (and for kBytes reads) the changed files within limits.artifacts and limits.artifact_bytes, and hands each to
// `emit`. Adds to changes.skipped. Returns whether one of the two limits was touched.
[[nodiscard]] bool Collect(sandbox::Workspace& workspace, const Limits& limits, ReturnFiles return_files,
                           WorkspaceChanges& changes, const std::function<void(Artifact)>& emit);

// A raw path as text: bytes that are not UTF-8, control characters, and characters that change how the text around them
// is read (U+202E and its like) as \xNN for each byte, a backslash as \x5c.
[[nodiscard]] std::string EscapePath(std::string_view path);
// By the first bytes of the content where they tell, else by extension; "application/octet-stream" when unknown.
[[nodiscard]] std::string MediaType(std::string_view path, std::string_view head);
// A path of a request, relative to the workspace. INVALID_ARGUMENT about `field`.
[[nodiscard]] absl::Status CheckPath(std::string_view field, std::string_view path);

}  // namespace carrel::interpreter
