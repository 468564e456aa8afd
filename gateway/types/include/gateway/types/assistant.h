// An assistant: a model with instructions and tools.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gateway/types/ids.h"
#include "gateway/types/tool.h"
#include "gateway/types/values.h"

namespace carrel::gateway {

// A file of a v1 assistant ("assistant.file").
struct AssistantFile {
  FileId file_id;
  absl::Time created_at;
  friend bool operator==(const AssistantFile&, const AssistantFile&) = default;
};

struct Assistant {
  AssistantId id;
  ProjectId project;
  absl::Time created_at;
  std::optional<std::string> name;
  std::optional<std::string> description;
  std::string model;
  std::optional<std::string> instructions;
  std::vector<Tool> tools;
  // For a v1 assistant too: its files are in code_files and, with retrieval, in a store of its own.
  ToolResources tool_resources;
  // As v1 shows them, in the order in which they were attached.
  std::vector<AssistantFile> files;
  Metadata metadata;
  double temperature = 1;
  double top_p = 1;
  std::optional<std::string> reasoning_effort;
  ResponseFormat response_format;
};

}  // namespace carrel::gateway
