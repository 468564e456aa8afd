// Containers without a jail or Python, in memory: what the code says is what happens. Thread-safe.
//
//   "out TEXT"     prints TEXT on stdout            "err TEXT"     on stderr
//   "show"         a picture and a text             "write PATH"   writes "1,2" to PATH
//   "raise"        ends as an exception             "hang"         until it is interrupted or abandoned
//   "read PATH"    prints what a file holds         "die"          the container is dead
// Several are separated by newlines.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "gateway/ports/container_host.h"

namespace carrel::gateway {

class PlainContainerHost final : public ContainerHost {
 public:
  absl::StatusOr<LiveContainer> Create(const ProjectId& project, const ContainerSpec& spec) override;
  absl::StatusOr<LiveContainer> Get(const ProjectId& project, const ContainerId& id) override;
  absl::StatusOr<std::vector<LiveContainer>> List(const ProjectId& project) override;
  absl::StatusOr<bool> Delete(const ProjectId& project, const ContainerId& id) override;
  absl::StatusOr<std::unique_ptr<CodeRun>> Execute(const ProjectId& project, const CodeCallRequest& request) override;
  absl::StatusOr<bool> Interrupt(const ProjectId& project, const ContainerId& id) override;
  absl::StatusOr<ContainerFile> Upload(const ProjectId& project, const ContainerId& id, const std::string& path,
                                       bool replace, BlobReader& source) override;
  absl::StatusOr<ContainerFiles> ListFiles(const ProjectId& project, const ContainerId& id) override;
  absl::StatusOr<OpenFile> Download(const ProjectId& project, const ContainerId& id, const std::string& path) override;
  // Archives of its own kind: lines of "PATH=BYTES".
  absl::StatusOr<WorkspaceSummary> Export(const ProjectId& project, const ContainerId& id,
                                          const ArchiveSink& sink) override;
  absl::StatusOr<WorkspaceSummary> Import(const ProjectId& project, const ContainerId& id, bool replace,
                                          BlobReader& source) override;
  absl::StatusOr<bool> DeleteFile(const ProjectId& project, const ContainerId& id, const std::string& path) override;

  // As if they had been idle for too long.
  void ExpireAll();
  // Calls whose CodeRun was destroyed while the code was "hang"ing.
  int abandoned();

 private:
  struct Held {
    LiveContainer live;
    std::map<std::string, std::string> files;
    bool interrupted = false;
  };
  class Run;

  absl::StatusOr<Held*> Find(const ProjectId& project, const ContainerId& id);

  std::mutex mutex_;
  std::map<std::pair<ProjectId, ContainerId>, Held> containers_;
  int made_ = 0;
  int abandoned_ = 0;
};

}  // namespace carrel::gateway
