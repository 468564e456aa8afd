#include "gateway/core/assistants.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/core/threads.h"
#include "gateway/types/error.h"
#include "gateway/types/status_macros.h"

namespace carrel::gateway {
namespace {

bool Has(const std::vector<Tool>& tools, ToolKind kind) {
  return std::any_of(tools.begin(), tools.end(), [kind](const Tool& tool) { return tool.kind == kind; });
}

template <typename T, typename Change>
void Apply(T& field, const Change& change) {
  if (change.has_value()) field = *change;
}

// A tool that is enabled shows its (empty) resource; ones that were given stay.
void ShowEnabledResources(Assistant& assistant) {
  if (Has(assistant.tools, ToolKind::kCodeInterpreter) && !assistant.tool_resources.code_files.has_value()) {
    assistant.tool_resources.code_files.emplace();
  }
}

}  // namespace

absl::Status CheckTools(const std::vector<Tool>& tools, const std::string& param) {
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string& name = tools[i].function.name;
    if (tools[i].kind == ToolKind::kFunction && (name == kCodeToolName || name == kSearchToolName)) {
      return MakeError(ErrorKind::kInvalidValue, absl::StrCat(param, "[", i, "].function.name"), {name});
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Assistant> Assistants::Create(const ProjectId& project, NewAssistant request) {
  GATEWAY_RETURN_IF_ERROR(CheckTools(request.tools, "tools"));
  Assistant assistant{.id = backing_.ids.NewAssistant(),
                      .project = project,
                      .created_at = backing_.clock.Now(),
                      .name = std::move(request.name),
                      .description = std::move(request.description),
                      .model = std::move(request.model),
                      .instructions = std::move(request.instructions),
                      .tools = std::move(request.tools),
                      .tool_resources = std::move(request.tool_resources),
                      .metadata = std::move(request.metadata),
                      .temperature = request.temperature.value_or(1),
                      .top_p = request.top_p.value_or(1),
                      .reasoning_effort = std::move(request.reasoning_effort),
                      .response_format = std::move(request.response_format)};
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_RETURN_IF_ERROR(CheckResources(t, project, assistant.tool_resources));
    if (request.store.has_value()) {
      GATEWAY_ASSIGN_OR_RETURN(VectorStore store, stores_.CreateIn(t, project, *request.store));
      assistant.tool_resources.stores = std::vector<StoreId>{store.id};
    }
    if (!request.files.empty()) GATEWAY_RETURN_IF_ERROR(SetFilesIn(t, assistant, request.files));
    ShowEnabledResources(assistant);
    return t.PutAssistant(assistant);
  }));
  stores_.Kick();
  return assistant;
}

absl::Status Assistants::SetFilesIn(Transaction& t, Assistant& assistant, const std::vector<FileId>& wanted) {
  std::vector<AssistantFile> before = std::exchange(assistant.files, {});
  std::vector<NewStoreFile> searchable;
  for (const FileId& id : wanted) {
    GATEWAY_ASSIGN_OR_RETURN(FileObject file, t.GetFile(assistant.project, id));
    auto known = std::find_if(before.begin(), before.end(), [&](const AssistantFile& f) { return f.file_id == id; });
    assistant.files.push_back({id, known == before.end() ? backing_.clock.Now() : known->created_at});
    // v1 gave every file to every tool: a table for the code is no reason to refuse an assistant that also searches.
    if (IsSearchableName(file.filename)) searchable.push_back({.file_id = id});
  }
  if (Has(assistant.tools, ToolKind::kCodeInterpreter)) assistant.tool_resources.code_files = wanted;
  if (!Has(assistant.tools, ToolKind::kFileSearch)) return absl::OkStatus();
  std::vector<StoreId> stores = assistant.tool_resources.stores.value_or(std::vector<StoreId>());
  VectorStore store;
  if (stores.empty()) {
    if (searchable.empty()) return absl::OkStatus();
    GATEWAY_ASSIGN_OR_RETURN(store, stores_.CreateIn(t, assistant.project, {}));
    assistant.tool_resources.stores = std::vector<StoreId>{store.id};
  } else {
    GATEWAY_ASSIGN_OR_RETURN(store, t.GetStore(assistant.project, stores.front()));
  }
  for (const AssistantFile& file : before) {
    if (std::find(wanted.begin(), wanted.end(), file.file_id) == wanted.end()) {
      GATEWAY_RETURN_IF_ERROR(t.DeleteStoreFile(assistant.project, store.id, file.file_id));
    }
  }
  return stores_.AddFilesIn(t, store, searchable, BatchId(), "file_ids");
}

absl::StatusOr<Assistant> Assistants::Get(const ProjectId& project, const AssistantId& id) {
  Assistant assistant;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(assistant, s.GetAssistant(project, id));
    return absl::OkStatus();
  }));
  return assistant;
}

absl::StatusOr<Page<Assistant>> Assistants::List(const ProjectId& project, const PageRequest& page) {
  Page<Assistant> assistants;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(assistants, s.ListAssistants(project, page));
    return absl::OkStatus();
  }));
  return assistants;
}

absl::StatusOr<Assistant> Assistants::Update(const ProjectId& project, const AssistantId& id, AssistantChange change) {
  if (change.tools.has_value()) GATEWAY_RETURN_IF_ERROR(CheckTools(*change.tools, "tools"));
  Assistant assistant;
  std::vector<FileId> removed;
  std::vector<StoreId> stores;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(assistant, t.GetAssistant(project, id));
    Apply(assistant.model, change.model);
    Apply(assistant.name, change.name);
    Apply(assistant.description, change.description);
    Apply(assistant.instructions, change.instructions);
    Apply(assistant.tools, change.tools);
    Apply(assistant.metadata, change.metadata);
    Apply(assistant.temperature, change.temperature);
    Apply(assistant.top_p, change.top_p);
    Apply(assistant.reasoning_effort, change.reasoning_effort);
    Apply(assistant.response_format, change.response_format);
    if (change.tool_resources.has_value()) {
      GATEWAY_RETURN_IF_ERROR(CheckResources(t, project, *change.tool_resources));
      if (change.tool_resources->code_files.has_value()) {
        assistant.tool_resources.code_files = change.tool_resources->code_files;
      }
      if (change.tool_resources->stores.has_value()) assistant.tool_resources.stores = change.tool_resources->stores;
    }
    std::vector<FileId> wanted;
    for (const AssistantFile& file : assistant.files) wanted.push_back(file.file_id);
    if (change.files.has_value()) {
      for (const FileId& file : wanted) {
        if (std::find(change.files->begin(), change.files->end(), file) == change.files->end()) removed.push_back(file);
      }
      stores = assistant.tool_resources.stores.value_or(std::vector<StoreId>());
      wanted = *change.files;
    }
    // Also when only the tools changed: a new tool gets the files.
    if (change.files.has_value() || (change.tools.has_value() && !wanted.empty())) {
      GATEWAY_RETURN_IF_ERROR(SetFilesIn(t, assistant, wanted));
    }
    ShowEnabledResources(assistant);
    return t.PutAssistant(assistant);
  }));
  for (const StoreId& store : stores) {
    for (const FileId& file : removed) {
      GATEWAY_RETURN_IF_ERROR(backing_.search.DeleteFile(project, store, file));
    }
  }
  stores_.Kick();
  return assistant;
}

absl::Status Assistants::Delete(const ProjectId& project, const AssistantId& id) {
  return backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_RETURN_IF_ERROR(t.GetAssistant(project, id).status());
    return t.DeleteAssistant(project, id);
  });
}

absl::StatusOr<AssistantFile> Assistants::AttachFile(const ProjectId& project, const AssistantId& id,
                                                     const FileId& file) {
  GATEWAY_ASSIGN_OR_RETURN(Assistant assistant, Get(project, id));
  std::vector<FileId> wanted;
  for (const AssistantFile& known : assistant.files) {
    if (known.file_id == file) return known;
    wanted.push_back(known.file_id);
  }
  wanted.push_back(file);
  GATEWAY_ASSIGN_OR_RETURN(assistant, Update(project, id, {.files = std::move(wanted)}));
  return assistant.files.back();
}

absl::Status Assistants::DetachFile(const ProjectId& project, const AssistantId& id, const FileId& file) {
  GATEWAY_ASSIGN_OR_RETURN(Assistant assistant, Get(project, id));
  std::vector<FileId> wanted;
  for (const AssistantFile& known : assistant.files) {
    if (known.file_id != file) wanted.push_back(known.file_id);
  }
  if (wanted.size() == assistant.files.size()) return MissingError("file", file.value);
  return Update(project, id, {.files = std::move(wanted)}).status();
}

}  // namespace carrel::gateway
