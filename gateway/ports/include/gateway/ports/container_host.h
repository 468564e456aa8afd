// Where containers live: sessions of jailed code, by id, with a workspace. The gateway's repository knows which
// container is whose and what it is called; this port has them. All calls block, so they belong on a worker's thread.
//
// Errors are those of the interpreter, with its details about fields: INVALID_ARGUMENT, NOT_FOUND (no such container,
// it has been idle too long, or no such file), ALREADY_EXISTS, FAILED_PRECONDITION (the container is dead),
// RESOURCE_EXHAUSTED, UNAVAILABLE (no interpreter can be reached). What code does is never an error: it is an Outcome.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/ports/file_store.h"
#include "gateway/types/ids.h"
#include "gateway/types/outcome.h"

namespace carrel::gateway {

struct ContainerSpec {
  ContainerId id;
  std::string runtime;  // "": the interpreter's default
  CodeLimits limits;
  absl::Duration idle_timeout;  // 0: the interpreter's default
};

// As it is now.
struct LiveContainer {
  enum class State { kReady, kBusy, kDead };
  ContainerId id;
  std::string runtime;
  State state = State::kReady;
  std::string death_reason;  // one sentence; only for kDead
  CodeLimits limits;         // in force, all of them
  absl::Duration idle_timeout;
  absl::Time created_at;
  absl::Time last_used_at;
  uint64_t calls = 0;
  std::string isolation;  // "full", "userns" or "confined"
};

struct ContainerFile {
  std::string path;  // relative to /mnt/data
  uint64_t size_bytes = 0;
  absl::Time modified_at;
};
struct ContainerFiles {
  std::vector<ContainerFile> files;
  std::vector<SkippedFile> skipped;
};

// What an archive of a workspace has.
struct WorkspaceSummary {
  uint64_t files = 0;
  uint64_t directories = 0;
  uint64_t bytes = 0;                // of all files together
  std::vector<SkippedFile> skipped;  // what an export left out
};

// What happens in a call, in this order: started, then what the code says and shows, then artifacts, then the outcome.
struct CodeStarted {
  ContainerId container;
  absl::Duration queued;
  absl::Duration linger;  // without a container: how long the files stay
};
struct CodeStdout {
  std::string text;
};
struct CodeStderr {
  std::string text;
};
struct CodeDisplay {
  std::map<std::string, std::string> data;  // by media type; images as raw bytes
  bool is_result = false;
};
struct CodeWroteFile {
  std::string path;
  uint64_t size_bytes = 0;
  std::string media_type;
  std::string sha256;   // "": it was not read
  std::string content;  // only when it was asked for
};
using CodeEvent = std::variant<CodeStarted, CodeStdout, CodeStderr, CodeDisplay, CodeWroteFile, Outcome>;

enum class ReturnFiles { kNone, kReferences, kBytes };

struct CodeCallRequest {
  ContainerId container;  // empty: one that is made for this call
  std::string code;
  CodeLimits limits;
  ReturnFiles return_files = ReturnFiles::kReferences;
  std::string runtime;               // without a container
  bool end_at_output_limit = false;  // false: what is over it is dropped, and the code goes on
  bool save_figures = false;         // true: pictures that are shown become files too
};

// A call that is being carried out. Destroying it interrupts the code. Thread-compatible.
class CodeRun {
 public:
  virtual ~CodeRun() = default;
  // The next event; nullopt when none has come within `wait`. After the outcome, which is last, it must not be called.
  virtual absl::StatusOr<std::optional<CodeEvent>> Next(absl::Duration wait) = 0;
};

// Thread-safe.
class ContainerHost {
 public:
  virtual ~ContainerHost() = default;

  // Returns when it can run code. One that is there already is returned as it is.
  virtual absl::StatusOr<LiveContainer> Create(const ProjectId& project, const ContainerSpec& spec) = 0;
  virtual absl::StatusOr<LiveContainer> Get(const ProjectId& project, const ContainerId& id) = 0;
  virtual absl::StatusOr<std::vector<LiveContainer>> List(const ProjectId& project) = 0;
  // Whether it was there.
  virtual absl::StatusOr<bool> Delete(const ProjectId& project, const ContainerId& id) = 0;

  virtual absl::StatusOr<std::unique_ptr<CodeRun>> Execute(const ProjectId& project,
                                                           const CodeCallRequest& request) = 0;
  // Whether something was running.
  virtual absl::StatusOr<bool> Interrupt(const ProjectId& project, const ContainerId& id) = 0;

  // Reads `source` to its end; its size may be 0 for "not known". The file is there whole or not at all.
  virtual absl::StatusOr<ContainerFile> Upload(const ProjectId& project, const ContainerId& id, const std::string& path,
                                               bool replace, BlobReader& source) = 0;
  virtual absl::StatusOr<ContainerFiles> ListFiles(const ProjectId& project, const ContainerId& id) = 0;
  struct OpenFile {
    ContainerFile file;
    std::unique_ptr<BlobReader> reader;
  };
  virtual absl::StatusOr<OpenFile> Download(const ProjectId& project, const ContainerId& id,
                                            const std::string& path) = 0;
  // All files, as a tar archive in pieces. An error of `sink` ends it. ABORTED: a file was changed while it was read.
  using ArchiveSink = std::function<absl::Status(std::string_view piece)>;
  virtual absl::StatusOr<WorkspaceSummary> Export(const ProjectId& project, const ContainerId& id,
                                                  const ArchiveSink& sink) = 0;
  // Reads such an archive from `source` to its end. Nothing of a bad one is written.
  virtual absl::StatusOr<WorkspaceSummary> Import(const ProjectId& project, const ContainerId& id, bool replace,
                                                  BlobReader& source) = 0;
  // Whether it was there.
  virtual absl::StatusOr<bool> DeleteFile(const ProjectId& project, const ContainerId& id, const std::string& path) = 0;
};

}  // namespace carrel::gateway
