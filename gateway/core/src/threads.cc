#include "gateway/core/threads.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/types/error.h"
#include "gateway/types/status_macros.h"

namespace carrel::gateway {
namespace {

std::string Below(const std::string& param, const std::string& field) {
  return param.empty() ? field : absl::StrCat(param, ".", field);
}

}  // namespace

absl::Status CheckResources(const Snapshot& s, const ProjectId& project, const ToolResources& resources) {
  for (const FileId& file : resources.code_files.value_or(std::vector<FileId>())) {
    GATEWAY_RETURN_IF_ERROR(s.GetFile(project, file).status());
  }
  for (const StoreId& store : resources.stores.value_or(std::vector<StoreId>())) {
    GATEWAY_RETURN_IF_ERROR(s.GetStore(project, store).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<Thread> Threads::CreateIn(Transaction& t, const ProjectId& project, const NewThread& request) {
  Thread thread{.id = backing_.ids.NewThread(),
                .project = project,
                .created_at = backing_.clock.Now(),
                .metadata = request.metadata,
                .tool_resources = request.tool_resources};
  GATEWAY_RETURN_IF_ERROR(CheckResources(t, project, thread.tool_resources));
  if (request.store.has_value()) {
    NewStore wanted = *request.store;
    if (!wanted.expires_after_days.has_value()) wanted.expires_after_days = kSideStoreDays;
    GATEWAY_ASSIGN_OR_RETURN(VectorStore store, stores_.CreateIn(t, project, wanted));
    thread.tool_resources.stores = std::vector<StoreId>{store.id};
  }
  GATEWAY_RETURN_IF_ERROR(t.PutThread(thread));
  for (size_t i = 0; i < request.messages.size(); ++i) {
    GATEWAY_RETURN_IF_ERROR(AddMessageIn(t, thread, request.messages[i], absl::StrCat("messages[", i, "]")).status());
  }
  return thread;
}

absl::StatusOr<Message> Threads::AddMessageIn(Transaction& t, Thread& thread, const NewMessage& request,
                                              const std::string& param) {
  absl::Time now = backing_.clock.Now();
  Message message{.id = backing_.ids.NewMessage(),
                  .project = thread.project,
                  .thread_id = thread.id,
                  .created_at = now,
                  .status = Message::Status::kCompleted,
                  .completed_at = now,
                  .role = request.role,
                  .content = request.content,
                  .attachments = request.attachments,
                  .metadata = request.metadata};
  for (const ContentPart& part : message.content) {
    if (part.kind == ContentPart::Kind::kImageFile) {
      GATEWAY_RETURN_IF_ERROR(t.GetFile(thread.project, part.image_file).status());
    }
  }
  GATEWAY_RETURN_IF_ERROR(AttachIn(t, thread, message, param));
  GATEWAY_RETURN_IF_ERROR(t.PutMessage(message));
  return message;
}

absl::Status Threads::AttachIn(Transaction& t, Thread& thread, const Message& message, const std::string& param) {
  if (message.attachments.empty()) return absl::OkStatus();
  std::vector<NewStoreFile> to_search;
  for (const Attachment& attachment : message.attachments) {
    GATEWAY_ASSIGN_OR_RETURN(FileObject file, t.GetFile(thread.project, attachment.file_id));
    if (attachment.code_interpreter) {
      std::vector<FileId> files = thread.tool_resources.code_files.value_or(std::vector<FileId>());
      if (std::find(files.begin(), files.end(), attachment.file_id) == files.end()) files.push_back(attachment.file_id);
      thread.tool_resources.code_files = std::move(files);
    }
    // A file for both tools that only the code can read (a table, which v1 gave to everything) is no error.
    bool only_for_code = attachment.code_interpreter && !IsSearchableName(file.filename);
    if (attachment.file_search && !only_for_code) to_search.push_back({.file_id = attachment.file_id});
  }
  if (!to_search.empty()) {
    const std::vector<StoreId> stores = thread.tool_resources.stores.value_or(std::vector<StoreId>());
    VectorStore store;
    if (stores.empty()) {
      GATEWAY_ASSIGN_OR_RETURN(store, stores_.CreateIn(t, thread.project, {.expires_after_days = kSideStoreDays}));
      thread.tool_resources.stores = std::vector<StoreId>{store.id};
    } else {
      GATEWAY_ASSIGN_OR_RETURN(store, t.GetStore(thread.project, stores.front()));
    }
    GATEWAY_RETURN_IF_ERROR(stores_.AddFilesIn(t, store, to_search, BatchId(), Below(param, "attachments")));
  }
  return t.PutThread(thread);
}

absl::StatusOr<Thread> Threads::Create(const ProjectId& project, NewThread request) {
  Thread thread;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(thread, CreateIn(t, project, request));
    return absl::OkStatus();
  }));
  stores_.Kick();
  return thread;
}

absl::StatusOr<Thread> Threads::Get(const ProjectId& project, const ThreadId& id) {
  Thread thread;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(thread, s.GetThread(project, id));
    return absl::OkStatus();
  }));
  return thread;
}

absl::StatusOr<Thread> Threads::Update(const ProjectId& project, const ThreadId& id, ThreadChange change) {
  Thread thread;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(thread, t.GetThread(project, id));
    if (change.metadata.has_value()) thread.metadata = *change.metadata;
    if (change.tool_resources.has_value()) {
      GATEWAY_RETURN_IF_ERROR(CheckResources(t, project, *change.tool_resources));
      if (change.tool_resources->code_files.has_value()) {
        thread.tool_resources.code_files = change.tool_resources->code_files;
      }
      if (change.tool_resources->stores.has_value()) thread.tool_resources.stores = change.tool_resources->stores;
    }
    return t.PutThread(thread);
  }));
  return thread;
}

absl::Status Threads::Delete(const ProjectId& project, const ThreadId& id) {
  return backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_RETURN_IF_ERROR(t.GetThread(project, id).status());
    return t.DeleteThread(project, id);
  });
}

absl::StatusOr<Message> Threads::AddMessage(const ProjectId& project, const ThreadId& thread, NewMessage request) {
  Message message;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(Thread found, t.GetThread(project, thread));
    GATEWAY_ASSIGN_OR_RETURN(std::optional<Run> active, t.ActiveRun(project, thread));
    if (active.has_value()) {
      return MakeError(ErrorKind::kMessageWhileRunActive, "", {thread.value, active->id.value});
    }
    GATEWAY_ASSIGN_OR_RETURN(message, AddMessageIn(t, found, request, ""));
    return absl::OkStatus();
  }));
  if (!message.attachments.empty()) stores_.Kick();
  return message;
}

absl::StatusOr<Message> Threads::GetMessage(const ProjectId& project, const ThreadId& thread, const MessageId& id) {
  Message message;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_RETURN_IF_ERROR(s.GetThread(project, thread).status());
    GATEWAY_ASSIGN_OR_RETURN(message, s.GetMessage(project, thread, id));
    return absl::OkStatus();
  }));
  return message;
}

absl::StatusOr<Page<Message>> Threads::ListMessages(const ProjectId& project, const ThreadId& thread,
                                                    const MessageFilter& filter, const PageRequest& page) {
  Page<Message> messages;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_RETURN_IF_ERROR(s.GetThread(project, thread).status());
    GATEWAY_ASSIGN_OR_RETURN(messages, s.ListMessages(project, thread, filter, page));
    return absl::OkStatus();
  }));
  return messages;
}

absl::StatusOr<Message> Threads::SetMessageMetadata(const ProjectId& project, const ThreadId& thread,
                                                    const MessageId& id, Metadata metadata) {
  Message message;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_RETURN_IF_ERROR(t.GetThread(project, thread).status());
    GATEWAY_ASSIGN_OR_RETURN(message, t.GetMessage(project, thread, id));
    message.metadata = metadata;
    return t.PutMessage(message);
  }));
  return message;
}

absl::Status Threads::DeleteMessage(const ProjectId& project, const ThreadId& thread, const MessageId& id) {
  return backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_RETURN_IF_ERROR(t.GetThread(project, thread).status());
    GATEWAY_RETURN_IF_ERROR(t.GetMessage(project, thread, id).status());
    return t.DeleteMessage(project, thread, id);
  });
}

}  // namespace carrel::gateway
