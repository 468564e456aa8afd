#include "gateway/core/containers.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/types/error.h"
#include "gateway/types/status_macros.h"

namespace carrel::gateway {
namespace {

// Uses closer together than this are one use: a call must not cost a write each time.
constexpr absl::Duration kTouchInterval = absl::Minutes(1);
// Longer than any container can be idle.
constexpr absl::Duration kRemembered = absl::Hours(30 * 24);
constexpr size_t kPathPartBytesMax = 255;
// What the interpreter calls a container that was made for one call.
constexpr size_t kThrowAwayIdLength = 32;

bool IsThrowAway(const ContainerId& id) {
  return id.value.size() == kThrowAwayIdLength && std::all_of(id.value.begin(), id.value.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

ContainerSpec SpecOf(const Container& container) {
  return {.id = container.id,
          .runtime = container.runtime,
          .limits = container.limits,
          .idle_timeout = absl::Milliseconds(container.idle_ms)};
}

size_t CodePoints(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

}  // namespace

std::string ContainerPathOf(const std::string& unique, const std::string& filename) {
  std::string name = filename.substr(filename.rfind('/') + 1);
  for (char& c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\') c = '_';
  }
  std::string path = absl::StrCat(unique, "-", name);
  if (path.size() <= kPathPartBytesMax) return path;
  size_t end = kPathPartBytesMax;
  while (end > 0 && (path[end] & 0xc0) == 0x80) --end;
  path.resize(end);
  return path;
}

Container Containers::NewRow(const ProjectId& project, const NewContainer& request) {
  const absl::Time now = backing_.clock.Now();
  return {.id = backing_.ids.NewContainer(),
          .project = project,
          .created_at = now,
          .last_active_at = now,
          .name = request.name,
          .runtime = request.runtime,
          .limits = request.limits,
          .idle_ms = request.idle_ms};
}

absl::StatusOr<ContainerState> Containers::Create(const ProjectId& project, const NewContainer& request) {
  std::vector<FileObject> files;
  for (const FileId& id : request.files) {
    GATEWAY_ASSIGN_OR_RETURN(FileObject file, files_.Get(project, id));
    files.push_back(std::move(file));
  }
  Container container = NewRow(project, request);
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) { return t.PutContainer(container); }));
  auto started = Start(container, files);
  if (started.ok()) return started;
  // What was asked for is not there, so nothing must say that it is. The cause is the error that counts.
  (void)host_.Delete(project, container.id);
  GATEWAY_RETURN_IF_ERROR(
      backing_.repository.Write([&](Transaction& t) { return t.DeleteContainer(project, container.id); }));
  return started.status();
}

absl::StatusOr<ContainerState> Containers::Start(Container container, const std::vector<FileObject>& files) {
  ContainerState state{.container = std::move(container), .created = true};
  GATEWAY_ASSIGN_OR_RETURN(state.live, host_.Create(state.container.project, SpecOf(state.container)));
  if (!files.empty()) GATEWAY_RETURN_IF_ERROR(PutFiles(state.container, files));
  return state;
}

absl::Status Containers::PutFiles(Container& container, const std::vector<FileObject>& files) {
  for (const FileObject& file : files) {
    GATEWAY_ASSIGN_OR_RETURN(const std::unique_ptr<BlobReader> reader, files_.Open(file));
    const std::string path = ContainerPathOf(file.id.value, file.filename);
    GATEWAY_RETURN_IF_ERROR(host_.Upload(container.project, container.id, path, /*replace=*/true, *reader).status());
    container.user_files.push_back(path);
  }
  return backing_.repository.Write([&](Transaction& t) { return t.PutContainer(container); });
}

absl::StatusOr<Container> Containers::FindOrPut(const ProjectId& project, const NewContainer& request, bool& put) {
  if (request.name.empty() || CodePoints(request.name) > kContainerNameMax) {
    return MakeError(ErrorKind::kInvalidValue, "name", {request.name.substr(0, kContainerNameMax)});
  }
  std::optional<Container> found;
  put = false;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(found, s.FindContainer(project, request.name));
    return absl::OkStatus();
  }));
  if (found.has_value()) return *std::move(found);
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    // Somebody else may have come first: two calls with one name get one container.
    GATEWAY_ASSIGN_OR_RETURN(found, t.FindContainer(project, request.name));
    if (found.has_value()) return absl::OkStatus();
    found = NewRow(project, request);
    put = true;
    return t.PutContainer(*found);
  }));
  return *std::move(found);
}

absl::StatusOr<ContainerState> Containers::Open(const ProjectId& project, const NewContainer& request) {
  if (request.name.empty()) return Create(project, request);
  bool put = false;
  GATEWAY_ASSIGN_OR_RETURN(Container container, FindOrPut(project, request, put));
  if (!put) {
    absl::StatusOr<LiveContainer> live = host_.Get(project, container.id);
    if (live.ok()) return ContainerState{.container = std::move(container), .live = *std::move(live)};
    if (!absl::IsNotFound(live.status())) return live.status();
    // Expired: anew, as it is asked for now.
    container.runtime = request.runtime;
    container.limits = request.limits;
    container.idle_ms = request.idle_ms;
    container.user_files.clear();
    container.last_active_at = backing_.clock.Now();
    GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) { return t.PutContainer(container); }));
  }
  auto started = Start(container, {});
  if (!started.ok() && put) {
    GATEWAY_RETURN_IF_ERROR(
        backing_.repository.Write([&](Transaction& t) { return t.DeleteContainer(project, container.id); }));
  }
  return started;
}

absl::StatusOr<ContainerId> Containers::Named(const ProjectId& project, const std::string& name) {
  bool put = false;
  GATEWAY_ASSIGN_OR_RETURN(const Container container, FindOrPut(project, {.name = name}, put));
  if (!put) GATEWAY_RETURN_IF_ERROR(Use(project, container.id));
  return container.id;
}

absl::StatusOr<Container> Containers::Row(const ProjectId& project, const ContainerId& id) {
  Container container;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(container, s.GetContainer(project, id));
    return absl::OkStatus();
  }));
  return container;
}

absl::StatusOr<ContainerState> Containers::Get(const ProjectId& project, const ContainerId& id) {
  ContainerState state;
  GATEWAY_ASSIGN_OR_RETURN(state.container, Row(project, id));
  absl::StatusOr<LiveContainer> live = host_.Get(project, id);
  if (!live.ok() && !absl::IsNotFound(live.status())) return live.status();
  if (live.ok()) state.live = *std::move(live);
  return state;
}

absl::StatusOr<Page<ContainerState>> Containers::List(const ProjectId& project, const ContainerFilter& filter,
                                                      const PageRequest& page) {
  Page<Container> rows;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(rows, s.ListContainers(project, filter, page));
    return absl::OkStatus();
  }));
  GATEWAY_ASSIGN_OR_RETURN(std::vector<LiveContainer> alive, host_.List(project));
  std::map<ContainerId, LiveContainer> by_id;
  for (LiveContainer& live : alive) by_id.emplace(live.id, std::move(live));
  Page<ContainerState> states{.has_more = rows.has_more};
  for (Container& row : rows.items) {
    const auto live = by_id.find(row.id);
    states.items.push_back({.container = std::move(row)});
    if (live != by_id.end()) states.items.back().live = live->second;
  }
  return states;
}

absl::Status Containers::Delete(const ProjectId& project, const ContainerId& id) {
  if (IsThrowAway(id)) {
    GATEWAY_ASSIGN_OR_RETURN(const bool existed, host_.Delete(project, id));
    return existed ? absl::OkStatus() : MissingError("container", id.value);
  }
  GATEWAY_RETURN_IF_ERROR(Row(project, id).status());
  // The session first: were it to fail after the row is gone, nothing would say that it is still there.
  GATEWAY_RETURN_IF_ERROR(host_.Delete(project, id).status());
  return backing_.repository.Write([&](Transaction& t) { return t.DeleteContainer(project, id); });
}

absl::Status Containers::Use(const ProjectId& project, const ContainerId& id) {
  if (IsThrowAway(id)) return absl::OkStatus();
  GATEWAY_ASSIGN_OR_RETURN(const Container row, Row(project, id));
  if (backing_.clock.Now() - row.last_active_at < kTouchInterval) return absl::OkStatus();
  return backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(Container now, t.GetContainer(project, id));
    now.last_active_at = backing_.clock.Now();
    return t.PutContainer(now);
  });
}

absl::StatusOr<std::unique_ptr<CodeRun>> Containers::Execute(const ProjectId& project, const CodeCallRequest& request) {
  if (!request.container.empty()) GATEWAY_RETURN_IF_ERROR(Use(project, request.container));
  return host_.Execute(project, request);
}

absl::StatusOr<bool> Containers::Interrupt(const ProjectId& project, const ContainerId& id) {
  GATEWAY_RETURN_IF_ERROR(Use(project, id));
  return host_.Interrupt(project, id);
}

absl::StatusOr<ContainerFile> Containers::Upload(const ProjectId& project, const ContainerId& id,
                                                 const std::string& path, bool replace, BlobReader& source) {
  GATEWAY_RETURN_IF_ERROR(Use(project, id));
  GATEWAY_ASSIGN_OR_RETURN(ContainerFile file, host_.Upload(project, id, path, replace, source));
  if (IsThrowAway(id)) return file;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(Container row, t.GetContainer(project, id));
    std::erase(row.user_files, file.path);
    if (row.user_files.size() >= kUserFilesMax) row.user_files.erase(row.user_files.begin());
    row.user_files.push_back(file.path);
    return t.PutContainer(row);
  }));
  return file;
}

absl::StatusOr<ContainerFiles> Containers::ListFiles(const ProjectId& project, const ContainerId& id) {
  GATEWAY_RETURN_IF_ERROR(Use(project, id));
  return host_.ListFiles(project, id);
}

absl::StatusOr<ContainerHost::OpenFile> Containers::Download(const ProjectId& project, const ContainerId& id,
                                                             const std::string& path) {
  GATEWAY_RETURN_IF_ERROR(Use(project, id));
  return host_.Download(project, id, path);
}

absl::StatusOr<WorkspaceSummary> Containers::Export(const ProjectId& project, const ContainerId& id,
                                                    const ContainerHost::ArchiveSink& sink) {
  GATEWAY_RETURN_IF_ERROR(Use(project, id));
  return host_.Export(project, id, sink);
}

absl::StatusOr<WorkspaceSummary> Containers::Import(const ProjectId& project, const ContainerId& id, bool replace,
                                                    BlobReader& source) {
  GATEWAY_RETURN_IF_ERROR(Use(project, id));
  return host_.Import(project, id, replace, source);
}

absl::StatusOr<bool> Containers::DeleteFile(const ProjectId& project, const ContainerId& id, const std::string& path) {
  GATEWAY_RETURN_IF_ERROR(Use(project, id));
  return host_.DeleteFile(project, id, path);
}

absl::Status Containers::ForgetOld() {
  return backing_.repository.Write(
      [&](Transaction& t) { return t.ForgetContainers(backing_.clock.Now() - kRemembered); });
}

}  // namespace carrel::gateway
