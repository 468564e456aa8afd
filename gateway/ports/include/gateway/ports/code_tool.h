// Runs the model's code: one container (a session with live variables) per thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/ports/file_store.h"
#include "gateway/types/file.h"
#include "gateway/types/ids.h"
#include "gateway/types/outcome.h"

namespace carrel::gateway {

// A file that has to be at /mnt/data/<path> before the code runs. One that is there with the same bytes is left alone.
struct CodeFile {
  std::string path;
  Blob blob;
};

struct CodeRequest {
  ProjectId project;
  // Made when it does not exist; the same name is the same container.
  ContainerId container;
  std::string code;
  std::vector<CodeFile> files;
};

// A file that the code wrote or changed, already in the FileStore.
struct CodeArtifact {
  std::string path;  // relative to /mnt/data
  std::string media_type;
  StoredBlob stored;
};

struct CodeResult {
  Outcome ending;
  // What the code printed and, if it ended otherwise than well, how: for the step's logs and for the model. Valid
  // UTF-8.
  std::string text;
  // In the order in which they appeared: what it showed (plots), as images.
  std::vector<CodeArtifact> images;
  // Files under /mnt/data.
  std::vector<CodeArtifact> files;
  // The container was lost during the call (its variables are gone).
  bool state_lost = false;

  bool succeeded() const { return ending.kind == Outcome::Kind::kCompleted; }
};

class CodeListener {
 public:
  virtual ~CodeListener() = default;
  // A piece of what the code prints, as it comes; must not block.
  virtual void OnLogs(std::string piece) = 0;
  // Exactly once, last. The fate of the code is in the result; a status is our own failure (UNAVAILABLE: no interpreter
  // can be reached; RESOURCE_EXHAUSTED: all are busy).
  virtual void OnEnd(absl::StatusOr<CodeResult> result) = 0;
};

// Destroying it interrupts the code; no listener method runs once the destructor has returned. Not to be destroyed from
// within a listener's method.
class CodeCall {
 public:
  virtual ~CodeCall() = default;
};

// Thread-safe.
class CodeTool {
 public:
  virtual ~CodeTool() = default;
  // Returns at once. The call keeps the listener.
  virtual std::unique_ptr<CodeCall> Start(CodeRequest request, std::shared_ptr<CodeListener> listener) = 0;
  // Frees a container; one that is not there is fine.
  virtual absl::Status Delete(const ProjectId& project, const ContainerId& container) = 0;
};

}  // namespace carrel::gateway
