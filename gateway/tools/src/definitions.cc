#include "gateway/tools/definitions.h"

#include "absl/strings/str_cat.h"
#include "gateway/tools/arguments.h"

namespace carrel::gateway {

FunctionTool CodeToolDefinition(const std::vector<std::pair<FileId, std::string>>& files) {
  std::string about =
      "Runs Python code in a sandbox without network, as a notebook cell: variables stay, the last expression is "
      "shown, "
      "open plots are shown to the user. Files are in /mnt/data; to give the user a file, write it there and link to "
      "it "
      "as [name](sandbox:/mnt/data/name).";
  if (!files.empty()) about += " The user's files:";
  for (const auto& [id, name] : files) absl::StrAppend(&about, " /mnt/data/", id.value, " (", name, ")");
  return {.name = kCodeToolName, .description = std::move(about), .parameters = CodeParameters()};
}

FunctionTool SearchToolDefinition() {
  return {.name = kSearchToolName,
          .description =
              "Finds passages in the user's documents. Cite what you use by the marker that stands before "
              "each passage.",
          .parameters = SearchParameters()};
}

}  // namespace carrel::gateway
