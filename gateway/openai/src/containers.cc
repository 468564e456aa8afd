// Containers, their files, and uploads.
#include "gateway/types/container.h"
#include "gateway/types/upload.h"
#include "objects.h"

namespace carrel::gateway::openai {
namespace render {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

// "1g"; the clients' words have no smaller ones.
std::string MemoryOf(uint64_t bytes) { return std::to_string((bytes + kGiB - 1) / kGiB) + "g"; }

Json ContainerOf(const ContainerView& container) {
  return {{"id", container.id.value},
          {"object", "container"},
          {"created_at", Seconds(container.created_at)},
          {"status", container.running ? "running" : "expired"},
          {"expires_after", {{"anchor", "last_active_at"}, {"minutes", container.idle_minutes}}},
          {"last_active_at", Seconds(container.last_active_at)},
          {"memory_limit", MemoryOf(container.memory_bytes)},
          {"name", container.name},
          {"network_policy", {{"type", "disabled"}}}};
}

Json FileOf(const ContainerFileView& file) {
  return {{"id", file.id},
          {"object", "container.file"},
          {"created_at", Seconds(file.created_at)},
          {"bytes", file.bytes},
          {"container_id", file.container.value},
          {"path", "/mnt/data/" + file.path},
          {"source", file.by_user ? "user" : "assistant"}};
}

const char* NameOf(FileUpload::Status status) {
  switch (status) {
    case FileUpload::Status::kPending:
      return "pending";
    case FileUpload::Status::kCompleted:
      return "completed";
    case FileUpload::Status::kCancelled:
      return "cancelled";
    case FileUpload::Status::kExpired:
      break;
  }
  return "expired";
}

}  // namespace
}  // namespace render

std::string RenderContainer(const ContainerView& container) { return render::Dump(render::ContainerOf(container)); }

std::string RenderContainers(const std::vector<ContainerView>& containers, bool has_more) {
  render::Json data = render::Json::array();
  for (const ContainerView& container : containers) data.push_back(render::ContainerOf(container));
  return render::Dump(render::List(std::move(data), has_more));
}

std::string RenderContainerFile(const ContainerFileView& file) { return render::Dump(render::FileOf(file)); }

std::string RenderContainerFiles(const std::vector<ContainerFileView>& files, bool has_more) {
  render::Json data = render::Json::array();
  for (const ContainerFileView& file : files) data.push_back(render::FileOf(file));
  return render::Dump(render::List(std::move(data), has_more));
}

std::string RenderUpload(const FileUpload& upload, const FileObject* file, const View& view) {
  return render::Dump({{"id", upload.id.value},
                       {"object", "upload"},
                       {"bytes", upload.bytes},
                       {"created_at", render::Seconds(upload.created_at)},
                       {"filename", upload.filename},
                       {"purpose", upload.purpose},
                       {"status", render::NameOf(upload.status)},
                       {"expires_at", render::Seconds(upload.expires_at)},
                       {"file", file == nullptr ? render::Json(nullptr) : render::Of(*file, view)}});
}

std::string RenderUploadPart(const UploadPart& part) {
  return render::Dump({{"id", part.id.value},
                       {"object", "upload.part"},
                       {"created_at", render::Seconds(part.created_at)},
                       {"upload_id", part.upload_id.value}});
}

}  // namespace carrel::gateway::openai
