// An assistant: a model with instructions and tools.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gateway/types/file.h"
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

// An assistant as a client asks for it.
struct NewAssistant {
  std::string model;
  std::optional<std::string> name;
  std::optional<std::string> description;
  std::optional<std::string> instructions;
  std::vector<Tool> tools;
  ToolResources tool_resources;
  // A store to make (the "vector_stores" helper).
  std::optional<NewStore> store;
  // v1's file_ids: for every tool of the assistant that reads files.
  std::vector<FileId> files;
  Metadata metadata;
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<std::string> reasoning_effort;
  ResponseFormat response_format;
};

// What a client changes; absent: as it was. The inner nullopt clears.
struct AssistantChange {
  std::optional<std::string> model;
  std::optional<std::optional<std::string>> name;
  std::optional<std::optional<std::string>> description;
  std::optional<std::optional<std::string>> instructions;
  std::optional<std::vector<Tool>> tools;
  std::optional<ToolResources> tool_resources;
  std::optional<std::vector<FileId>> files;  // v1
  std::optional<Metadata> metadata;
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<std::optional<std::string>> reasoning_effort;
  std::optional<ResponseFormat> response_format;
};

}  // namespace carrel::gateway
