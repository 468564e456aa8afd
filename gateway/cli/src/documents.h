// Which files `carrel store add` is to add.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/console.h"

namespace carrel::cli {

struct DocumentPath {
  std::string path;   // to open it
  std::string below;  // from the directory that was named, or the file's name
};

// By its extension, whatever its case.
[[nodiscard]] bool IsDocumentName(const std::string& file_name);

// Files as they are named. Of a directory, and of those below it, the documents by their extension, sorted; hidden ones
// and links are not followed, and what is left out is told. INVALID_ARGUMENT: not there, a directory without documents,
// or more than 100000.
[[nodiscard]] absl::StatusOr<std::vector<DocumentPath>> FindDocuments(const std::vector<std::string>& paths,
                                                                      Console& console);

}  // namespace carrel::cli
