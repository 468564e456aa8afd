// Assistants, with v1's files. Thread-safe.
//
// A v1 assistant names files, not resources: they are given to every tool of it that reads files, that is to the code
// interpreter as they are, and to retrieval through a store which the assistant has of its own.
#pragma once

#include "absl/status/statusor.h"
#include "gateway/core/backing.h"
#include "gateway/core/stores.h"
#include "gateway/types/assistant.h"

namespace carrel::gateway {

class Assistants {
 public:
  Assistants(Backing backing, Stores& stores) : backing_(backing), stores_(stores) {}

  absl::StatusOr<Assistant> Create(const ProjectId& project, NewAssistant request);
  absl::StatusOr<Assistant> Get(const ProjectId& project, const AssistantId& id);
  absl::StatusOr<Page<Assistant>> List(const ProjectId& project, const PageRequest& page);
  absl::StatusOr<Assistant> Update(const ProjectId& project, const AssistantId& id, AssistantChange change);
  absl::Status Delete(const ProjectId& project, const AssistantId& id);

  // v1's /assistants/{id}/files. Attaching what is attached is fine.
  absl::StatusOr<AssistantFile> AttachFile(const ProjectId& project, const AssistantId& id, const FileId& file);
  absl::Status DetachFile(const ProjectId& project, const AssistantId& id, const FileId& file);

 private:
  // Makes the resources follow from the v1 files `wanted`.
  absl::Status SetFilesIn(Transaction& t, Assistant& assistant, const std::vector<FileId>& wanted);

  Backing backing_;
  Stores& stores_;
};

// A function may not be called as a built-in tool is. `param` is where the tools stand ("tools").
absl::Status CheckTools(const std::vector<Tool>& tools, const std::string& param);

}  // namespace carrel::gateway
