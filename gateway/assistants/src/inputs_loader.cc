#include "inputs_loader.h"

#include <algorithm>
#include <array>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gateway/assistants/answer_scanner.h"
#include "gateway/types/status_macros.h"

namespace carrel::gateway {
namespace {

constexpr int kPage = 100;
constexpr std::size_t kMessagesMax = 10'000;
// Images of one prompt, before they are encoded.
constexpr uint64_t kImageBytesMax = uint64_t{20} << 20;

bool HasTool(const Run& run, ToolKind kind) {
  return std::any_of(run.tools.begin(), run.tools.end(), [&](const Tool& tool) { return tool.kind == kind; });
}

// The thread's messages, oldest first, as many as could fit.
absl::StatusOr<std::vector<Message>> LoadHistory(const Snapshot& s, const Run& run, int64_t window_tokens) {
  std::vector<Message> history;
  int64_t tokens = 0;
  PageRequest page{.limit = kPage};
  for (;;) {
    GATEWAY_ASSIGN_OR_RETURN(Page<Message> got, s.ListMessages(run.project, run.thread_id, {}, page));
    if (got.items.empty()) break;
    page.after = got.items.back().id.value;
    for (Message& message : got.items) {
      if (message.run_id == run.id) continue;
      for (const ContentPart& part : message.content) tokens += EstimateTokens(part.text);
      history.push_back(std::move(message));
    }
    if (!got.has_more || tokens > window_tokens || history.size() >= kMessagesMax) break;
  }
  std::reverse(history.begin(), history.end());
  return history;
}

// Assistants and threads may be deleted while a run goes on: what they gave is then missing, not an error.
absl::StatusOr<ToolResources> LoadResources(const Snapshot& s, const Run& run, std::set<StoreId>& awaited) {
  ToolResources all{.code_files = std::vector<FileId>(), .stores = std::vector<StoreId>()};
  const auto add = [&](const ToolResources& resources, bool await) {
    for (const FileId& file : resources.code_files.value_or(std::vector<FileId>())) all.code_files->push_back(file);
    for (const StoreId& store : resources.stores.value_or(std::vector<StoreId>())) {
      all.stores->push_back(store);
      if (await) awaited.insert(store);
    }
  };
  GATEWAY_ASSIGN_OR_RETURN(const Thread thread, s.GetThread(run.project, run.thread_id));
  if (run.tool_resources.code_files.has_value() || run.tool_resources.stores.has_value()) {
    add(run.tool_resources, /*await=*/false);
  } else if (const auto assistant = s.GetAssistant(run.project, run.assistant_id); assistant.ok()) {
    // Only a v1 client cannot see how far the files of its assistant are.
    add(assistant->tool_resources, /*await=*/!run.files.empty());
  }
  add(thread.tool_resources, /*await=*/true);
  for (const FileId& file : run.files) all.code_files->push_back(file);
  return all;
}

std::optional<std::string> ImageType(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG\r\n\x1a\n")) return "image/png";
  if (bytes.starts_with("\xFF\xD8\xFF")) return "image/jpeg";
  if (bytes.starts_with("GIF8")) return "image/gif";
  if (bytes.starts_with("RIFF") && bytes.substr(8, 4) == "WEBP") return "image/webp";
  return std::nullopt;
}

absl::StatusOr<std::string> ReadBlob(FileStore& files, const Blob& blob) {
  GATEWAY_ASSIGN_OR_RETURN(std::unique_ptr<BlobReader> reader, files.Open(blob.sha256));
  std::string bytes;
  bytes.reserve(blob.size_bytes);
  std::array<char, 65536> piece;
  for (;;) {
    GATEWAY_ASSIGN_OR_RETURN(const std::size_t got, reader->Read(piece));
    if (got == 0) return bytes;
    bytes.append(piece.data(), got);
  }
}

// Images of the newest messages first, until there are too many bytes.
void LoadImages(FileStore& files, const std::vector<FileObject>& wanted, PromptInputs& inputs) {
  uint64_t room = kImageBytesMax;
  for (const FileObject& file : wanted) {
    if (file.blob.size_bytes > room) continue;
    const auto bytes = ReadBlob(files, file.blob);
    if (!bytes.ok()) continue;  // described in words, as an image that is too large
    const auto type = ImageType(*bytes);
    if (!type.has_value()) continue;
    room -= file.blob.size_bytes;
    inputs.images[file.id] = absl::StrCat("data:", *type, ";base64,", absl::Base64Escape(*bytes));
  }
}

}  // namespace

absl::StatusOr<LoadedInputs> LoadInputs(const Backing& backing, const Run& run, int64_t window_tokens) {
  LoadedInputs loaded;
  std::vector<FileObject> images;
  GATEWAY_RETURN_IF_ERROR(backing.repository.Read([&](const Snapshot& s) -> absl::Status {
    std::set<StoreId> awaited;
    GATEWAY_ASSIGN_OR_RETURN(const ToolResources resources, LoadResources(s, run, awaited));
    GATEWAY_ASSIGN_OR_RETURN(loaded.inputs.history, LoadHistory(s, run, window_tokens));
    if (HasTool(run, ToolKind::kCodeInterpreter)) {
      std::set<FileId> seen;
      for (const FileId& id : *resources.code_files) {
        if (!seen.insert(id).second) continue;
        const auto file = s.GetFile(run.project, id);
        if (!file.ok()) continue;  // deleted meanwhile
        loaded.inputs.files.push_back({.id = id, .name = file->filename, .blob = file->blob});
        loaded.inputs.links[id.value] = id;
      }
    }
    if (HasTool(run, ToolKind::kFileSearch)) {
      std::set<StoreId> seen;
      for (const StoreId& id : *resources.stores) {
        if (!seen.insert(id).second) continue;
        const auto store = s.GetStore(run.project, id);
        if (!store.ok()) continue;  // deleted meanwhile
        if (store->expired) {
          return absl::FailedPreconditionError(absl::StrCat("Vector store ", id.value, " is expired"));
        }
        loaded.inputs.stores.push_back(id);
        if (awaited.contains(id)) loaded.files_in_progress += store->counts.in_progress;
      }
    }
    for (auto message = loaded.inputs.history.rbegin(); message != loaded.inputs.history.rend(); ++message) {
      for (const ContentPart& part : message->content) {
        if (part.kind == ContentPart::Kind::kImageFile && message->role == Role::kUser) {
          if (auto file = s.GetFile(run.project, part.image_file); file.ok()) images.push_back(*std::move(file));
        }
        for (const Annotation& annotation : part.annotations) {
          if (annotation.kind != Annotation::Kind::kFilePath || !annotation.text.starts_with(kSandboxLink)) continue;
          // emplace: the newest file of a name is the one that is there.
          loaded.inputs.links.emplace(UndoPercents(annotation.text.substr(kSandboxLink.size())), annotation.file_id);
        }
      }
    }
    return absl::OkStatus();
  }));
  LoadImages(backing.files, images, loaded.inputs);
  return loaded;
}

}  // namespace carrel::gateway
