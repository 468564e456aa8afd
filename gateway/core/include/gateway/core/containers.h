// Containers: whose they are, what they are called, and what may be done in them. Thread-safe.
//
// A container that was idle for too long has expired: its row stays for a month, so that clients can be told so; opened
// by its name it is made anew. Errors are those of types/error.h for what is wrong with the object, and the host's own
// (ports/container_host.h) for what is done in it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "gateway/core/backing.h"
#include "gateway/core/files.h"
#include "gateway/ports/container_host.h"
#include "gateway/types/container.h"

namespace carrel::gateway {

struct ContainerState {
  Container container;
  std::optional<LiveContainer> live;  // nullopt: it has expired
  bool created = false;               // made (anew) by this call
};

class Containers {
 public:
  Containers(Backing backing, Files& files, ContainerHost& host) : backing_(backing), files_(files), host_(host) {}

  // A container of its own; its files stand at /mnt/data/<file id>-<name>.
  absl::StatusOr<ContainerState> Create(const ProjectId& project, const NewContainer& request);
  // The project's youngest container of this name as it is; made (anew) when it is not there or has expired.
  absl::StatusOr<ContainerState> Open(const ProjectId& project, const NewContainer& request);
  // Its id alone, for a code tool that makes what is not there.
  absl::StatusOr<ContainerId> Named(const ProjectId& project, const std::string& name);
  absl::StatusOr<ContainerState> Get(const ProjectId& project, const ContainerId& id);
  absl::StatusOr<Page<ContainerState>> List(const ProjectId& project, const ContainerFilter& filter,
                                            const PageRequest& page);
  absl::Status Delete(const ProjectId& project, const ContainerId& id);

  // An id may also be that of a call without a container, while its files stay.
  absl::StatusOr<std::unique_ptr<CodeRun>> Execute(const ProjectId& project, const CodeCallRequest& request);
  absl::StatusOr<bool> Interrupt(const ProjectId& project, const ContainerId& id);
  absl::StatusOr<ContainerFile> Upload(const ProjectId& project, const ContainerId& id, const std::string& path,
                                       bool replace, BlobReader& source);
  absl::StatusOr<ContainerFiles> ListFiles(const ProjectId& project, const ContainerId& id);
  absl::StatusOr<ContainerHost::OpenFile> Download(const ProjectId& project, const ContainerId& id,
                                                   const std::string& path);
  absl::StatusOr<WorkspaceSummary> Export(const ProjectId& project, const ContainerId& id,
                                          const ContainerHost::ArchiveSink& sink);
  absl::StatusOr<WorkspaceSummary> Import(const ProjectId& project, const ContainerId& id, bool replace,
                                          BlobReader& source);
  absl::StatusOr<bool> DeleteFile(const ProjectId& project, const ContainerId& id, const std::string& path);

  // Rows of containers that expired long ago.
  absl::Status ForgetOld();

 private:
  absl::StatusOr<Container> Row(const ProjectId& project, const ContainerId& id);
  // The container is the project's; counts as use.
  absl::Status Use(const ProjectId& project, const ContainerId& id);
  absl::StatusOr<Container> FindOrPut(const ProjectId& project, const NewContainer& request, bool& put);
  absl::StatusOr<ContainerState> Start(Container container, const std::vector<FileObject>& files);
  absl::Status PutFiles(Container& container, const std::vector<FileObject>& files);
  Container NewRow(const ProjectId& project, const NewContainer& request);

  Backing backing_;
  Files& files_;
  ContainerHost& host_;
};

// What a file is called in a container: "<unique>-<name>", its last name, made harmless.
std::string ContainerPathOf(const std::string& unique, const std::string& filename);

}  // namespace carrel::gateway
