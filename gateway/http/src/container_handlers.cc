// Containers and their files.
#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/openai/requests.h"
#include "gateway/openai/responses.h"
#include "handlers.h"
#include "window.h"

namespace carrel::gateway::http {
namespace {

constexpr uint64_t kMemoryDefault = uint64_t{1} << 30;

openai::ContainerView ViewOf(const ContainerState& state) {
  const Container& row = state.container;
  openai::ContainerView view{.id = row.id,
                             .name = row.name,
                             .created_at = row.created_at,
                             .last_active_at = row.last_active_at,
                             .running = false,
                             .idle_minutes = (row.idle_ms == 0 ? kContainerIdleMsDefault : row.idle_ms) / 60'000,
                             .memory_bytes = row.limits.memory_bytes == 0 ? kMemoryDefault : row.limits.memory_bytes};
  if (!state.live.has_value()) return view;
  view.running = state.live->state != LiveContainer::State::kDead;
  view.last_active_at = std::max(row.last_active_at, state.live->last_used_at);
  if (state.live->limits.memory_bytes != 0) view.memory_bytes = state.live->limits.memory_bytes;
  return view;
}

// The host's errors as a client's. NOT_FOUND: the container is on record, so its session has expired.
absl::Status Told(const absl::Status& status, const ContainerId& container) {
  if (status.ok() || ErrorOf(status).has_value()) return status;
  const std::string message(status.message());
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return MakeError(ErrorKind::kInvalidRequest, "", {absl::StrCat("Container ", container.value, " is expired.")});
    case absl::StatusCode::kResourceExhausted:
      return MakeError(ErrorKind::kOverloaded, "", {message});
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
      return MakeError(ErrorKind::kInvalidRequest, "", {message});
    default:
      return status;
  }
}

// A file is known by where it stands: the same path is the same file, also when code writes it anew. FNV-1a, twice with
// different beginnings; ids are looked for among the container's own files only, so that nothing rests on their being
// hard to guess.
std::string FileIdOf(const ContainerId& container, const std::string& path) {
  constexpr uint64_t kPrime = 1099511628211ull;
  std::array<uint64_t, 2> hash = {14695981039346656037ull, 0x9e3779b97f4a7c15ull};
  for (const std::string& text : {container.value, std::string(1, '\0'), path}) {
    for (const unsigned char byte : text) {
      for (uint64_t& half : hash) half = (half ^ byte) * kPrime;
    }
  }
  return absl::StrCat("cfile_", absl::Hex(hash[0], absl::kZeroPad16), absl::Hex(hash[1], absl::kZeroPad16));
}

openai::ContainerFileView ViewOf(const ContainerFile& file, const Container& container) {
  const auto& users = container.user_files;
  return {.id = FileIdOf(container.id, file.path),
          .container = container.id,
          .path = file.path,
          .bytes = file.size_bytes,
          .created_at = file.modified_at,
          .by_user = std::find(users.begin(), users.end(), file.path) != users.end()};
}

// All files of a container, the oldest first.
absl::StatusOr<std::vector<openai::ContainerFileView>> FilesOf(Api& api, const Request& request) {
  const ContainerId id(request.Id("container_id"));
  GATEWAY_ASSIGN_OR_RETURN(const ContainerState state, api.containers.Get(request.project, id));
  absl::StatusOr<ContainerFiles> files = api.containers.ListFiles(request.project, id);
  if (!files.ok()) return Told(files.status(), id);
  std::stable_sort(files->files.begin(), files->files.end(),
                   [](const ContainerFile& a, const ContainerFile& b) { return a.modified_at < b.modified_at; });
  std::vector<openai::ContainerFileView> views;
  for (const ContainerFile& file : files->files) views.push_back(ViewOf(file, state.container));
  return views;
}

absl::StatusOr<openai::ContainerFileView> FileOf(Api& api, const Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(const std::vector<openai::ContainerFileView> files, FilesOf(api, request));
  for (const openai::ContainerFileView& file : files) {
    if (file.id == request.Id("container_file_id")) return file;
  }
  return MissingError("container file", request.Id("container_file_id"));
}

}  // namespace

Answer CreateContainer(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(const NewContainer wanted, openai::ParseNewContainer(request.body));
  absl::StatusOr<ContainerState> state = api.containers.Create(request.project, wanted);
  if (!state.ok()) return Told(state.status(), ContainerId());
  return Json(openai::RenderContainer(ViewOf(*state)));
}

Answer ListContainers(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(const PageRequest page, PageOf(request.query));
  GATEWAY_ASSIGN_OR_RETURN(
      const Page<ContainerState> states,
      api.containers.List(request.project, {.name = request.query.Get("name").value_or("")}, page));
  std::vector<openai::ContainerView> views;
  for (const ContainerState& state : states.items) views.push_back(ViewOf(state));
  return Json(openai::RenderContainers(views, states.has_more));
}

Answer GetContainer(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(const ContainerState state,
                           api.containers.Get(request.project, ContainerId(request.Id("container_id"))));
  return Json(openai::RenderContainer(ViewOf(state)));
}

Answer DeleteContainer(Api& api, Request& request) {
  GATEWAY_RETURN_IF_ERROR(api.containers.Delete(request.project, ContainerId(request.Id("container_id"))));
  return Json(openai::RenderDeleted(request.Id("container_id"), "container.deleted"));
}

Answer CreateContainerFile(Api& api, Request& request) {
  const ContainerId id(request.Id("container_id"));
  GATEWAY_RETURN_IF_ERROR(api.containers.Get(request.project, id).status());
  FileObject source{.filename = request.upload.filename.value_or("upload")};
  std::string unique;
  if (request.upload.file.has_value()) {
    source.blob = request.upload.file->blob;
    unique = api.ids.New("cfile_").substr(sizeof("cfile_") - 1);
  } else {
    // A form may name a file too.
    const auto field = request.upload.fields.find("file_id");
    if (field == request.upload.fields.end() && !request.upload.fields.empty()) {
      return MakeError(ErrorKind::kParameterMissing, "file", {});
    }
    FileId named;
    if (field != request.upload.fields.end()) {
      named = FileId(field->second);
    } else {
      GATEWAY_ASSIGN_OR_RETURN(named, openai::ParseContainerFile(request.body));
    }
    GATEWAY_ASSIGN_OR_RETURN(source, api.files.Get(request.project, named));
    unique = named.value;
  }
  GATEWAY_ASSIGN_OR_RETURN(const std::unique_ptr<BlobReader> reader, api.files.Open(source));
  const absl::StatusOr<ContainerFile> file =
      api.containers.Upload(request.project, id, ContainerPathOf(unique, source.filename), /*replace=*/true, *reader);
  if (request.upload.file.has_value()) {
    // Only the container has the bytes from now on.
    const std::string sha256 = source.blob.sha256;
    request.upload.file.reset();
    GATEWAY_RETURN_IF_ERROR(api.files.RemoveUnused(sha256));
  }
  if (!file.ok()) return Told(file.status(), id);
  GATEWAY_ASSIGN_OR_RETURN(const ContainerState state, api.containers.Get(request.project, id));
  return Json(openai::RenderContainerFile(ViewOf(*file, state.container)));
}

Answer ListContainerFiles(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(const PageRequest page, PageOf(request.query));
  GATEWAY_ASSIGN_OR_RETURN(std::vector<openai::ContainerFileView> files, FilesOf(api, request));
  GATEWAY_ASSIGN_OR_RETURN(
      const Page<openai::ContainerFileView> window,
      Window(std::move(files), page, [](const openai::ContainerFileView& file) { return file.id; }));
  return Json(openai::RenderContainerFiles(window.items, window.has_more));
}

Answer GetContainerFile(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(const openai::ContainerFileView file, FileOf(api, request));
  return Json(openai::RenderContainerFile(file));
}

Answer GetContainerFileContent(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(const openai::ContainerFileView file, FileOf(api, request));
  absl::StatusOr<ContainerHost::OpenFile> opened = api.containers.Download(request.project, file.container, file.path);
  if (!opened.ok()) return Told(opened.status(), file.container);
  return Response{
      .status = 200,
      .body = FileBody{.reader = std::move(opened->reader), .filename = file.path.substr(file.path.rfind('/') + 1)}};
}

Answer DeleteContainerFile(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(const openai::ContainerFileView file, FileOf(api, request));
  const absl::StatusOr<bool> existed = api.containers.DeleteFile(request.project, file.container, file.path);
  if (!existed.ok()) return Told(existed.status(), file.container);
  return Json(openai::RenderDeleted(file.id, "container.file.deleted"));
}

}  // namespace carrel::gateway::http
