// A workspace as a tar archive and back: how an executor keeps the files of a session, or branches it.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "interpreter/engine/outcome.h"
#include "interpreter/engine/tar.h"
#include "sandbox/jail.h"

namespace carrel::interpreter {

struct ArchiveSummary {
  uint64_t files = 0;
  uint64_t directories = 0;
  uint64_t bytes = 0;                // of all files together
  std::vector<SkippedFile> skipped;  // of an export
};

// Everything that is a regular file or a directory with a name that an import takes, hidden ones too. ABORTED: a file
// became shorter while it was read. The errors of `sink`.
[[nodiscard]] absl::StatusOr<ArchiveSummary> WriteArchive(sandbox::Workspace& workspace, const TarWriter::Sink& sink);

struct ImportedArchive {
  ArchiveSummary summary;
  std::vector<sandbox::WorkspaceEntry> written;
};

// Looks the archive through as a whole, then writes it: a hostile one changes nothing. Constant memory but for the
// names. INVALID_ARGUMENT, RESOURCE_EXHAUSTED: see TarReader; also an entry twice, or below a file. ALREADY_EXISTS
// unless `replace`. When writing fails in the middle (a full workspace, code that runs and interferes), what was new is
// removed.
[[nodiscard]] absl::StatusOr<ImportedArchive> ReadArchive(sandbox::Workspace& workspace, int archive,
                                                          uint64_t archive_bytes, uint64_t content_bytes_max,
                                                          bool replace);

}  // namespace carrel::interpreter
