// Assistants, threads and messages.
#include <algorithm>

#include "gateway/openai/requests.h"
#include "gateway/openai/responses.h"
#include "handlers.h"
#include "window.h"

namespace carrel::gateway::http {

using openai::Render;
using openai::RenderList;

Answer CreateAssistant(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(NewAssistant wanted, openai::ParseNewAssistant(request.body, request.view.version));
  GATEWAY_ASSIGN_OR_RETURN(Assistant assistant, api.assistants.Create(request.project, std::move(wanted)));
  return Json(Render(assistant, request.view));
}

Answer ListAssistants(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(PageRequest page, PageOf(request.query));
  GATEWAY_ASSIGN_OR_RETURN(Page<Assistant> assistants, api.assistants.List(request.project, page));
  return Json(RenderList(assistants.items, assistants.has_more, request.view));
}

Answer GetAssistant(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(Assistant assistant,
                           api.assistants.Get(request.project, AssistantId(request.Id("assistant_id"))));
  return Json(Render(assistant, request.view));
}

Answer UpdateAssistant(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(AssistantChange change, openai::ParseAssistantChange(request.body, request.view.version));
  GATEWAY_ASSIGN_OR_RETURN(Assistant assistant,
                           api.assistants.Update(request.project, AssistantId(request.Id("assistant_id")), change));
  return Json(Render(assistant, request.view));
}

Answer DeleteAssistant(Api& api, Request& request) {
  GATEWAY_RETURN_IF_ERROR(api.assistants.Delete(request.project, AssistantId(request.Id("assistant_id"))));
  return Json(openai::RenderDeleted(request.Id("assistant_id"), "assistant.deleted"));
}

Answer AttachAssistantFile(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(FileId file, openai::ParseAssistantFile(request.body));
  AssistantId assistant(request.Id("assistant_id"));
  GATEWAY_ASSIGN_OR_RETURN(AssistantFile attached, api.assistants.AttachFile(request.project, assistant, file));
  return Json(openai::RenderAssistantFile(attached, assistant));
}

namespace {

std::vector<FileId> FilesOf(const Message& message) {
  std::vector<FileId> files;
  for (const Attachment& attachment : message.attachments) files.push_back(attachment.file_id);
  return files;
}

}  // namespace

Answer ListAssistantFiles(Api& api, Request& request) {
  AssistantId id(request.Id("assistant_id"));
  GATEWAY_ASSIGN_OR_RETURN(PageRequest page, PageOf(request.query));
  GATEWAY_ASSIGN_OR_RETURN(Assistant assistant, api.assistants.Get(request.project, id));
  GATEWAY_ASSIGN_OR_RETURN(Page<AssistantFile> files,
                           Window(assistant.files, page, [](const AssistantFile& file) { return file.file_id.value; }));
  return Json(openai::RenderAssistantFiles(files.items, id, files.has_more));
}

Answer GetAssistantFile(Api& api, Request& request) {
  AssistantId id(request.Id("assistant_id"));
  GATEWAY_ASSIGN_OR_RETURN(Assistant assistant, api.assistants.Get(request.project, id));
  for (const AssistantFile& file : assistant.files) {
    if (file.file_id.value == request.Id("file_id")) return Json(openai::RenderAssistantFile(file, id));
  }
  return MissingError("file", request.Id("file_id"));
}

Answer DetachAssistantFile(Api& api, Request& request) {
  GATEWAY_RETURN_IF_ERROR(api.assistants.DetachFile(request.project, AssistantId(request.Id("assistant_id")),
                                                    FileId(request.Id("file_id"))));
  return Json(openai::RenderDeleted(request.Id("file_id"), "assistant.file.deleted"));
}

Answer CreateThread(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(NewThread wanted, openai::ParseNewThread(request.body, request.view.version));
  GATEWAY_ASSIGN_OR_RETURN(Thread thread, api.threads.Create(request.project, std::move(wanted)));
  return Json(Render(thread, request.view));
}

Answer GetThread(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(Thread thread, api.threads.Get(request.project, ThreadId(request.Id("thread_id"))));
  return Json(Render(thread, request.view));
}

Answer UpdateThread(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(ThreadChange change, openai::ParseThreadChange(request.body, request.view.version));
  GATEWAY_ASSIGN_OR_RETURN(Thread thread,
                           api.threads.Update(request.project, ThreadId(request.Id("thread_id")), std::move(change)));
  return Json(Render(thread, request.view));
}

Answer DeleteThread(Api& api, Request& request) {
  ThreadId id(request.Id("thread_id"));
  GATEWAY_RETURN_IF_ERROR(api.threads.Get(request.project, id).status());
  GATEWAY_RETURN_IF_ERROR(api.runs.Abandon(request.project, id));
  GATEWAY_RETURN_IF_ERROR(api.threads.Delete(request.project, id));
  return Json(openai::RenderDeleted(id.value, "thread.deleted"));
}

Answer CreateMessage(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(NewMessage wanted, openai::ParseNewMessage(request.body, request.view.version));
  GATEWAY_ASSIGN_OR_RETURN(
      Message message, api.threads.AddMessage(request.project, ThreadId(request.Id("thread_id")), std::move(wanted)));
  return Json(Render(message, request.view));
}

Answer ListMessages(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(PageRequest page, PageOf(request.query));
  MessageFilter filter{.run_id = RunId(request.query.Get("run_id").value_or(""))};
  GATEWAY_ASSIGN_OR_RETURN(Page<Message> messages,
                           api.threads.ListMessages(request.project, ThreadId(request.Id("thread_id")), filter, page));
  return Json(RenderList(messages.items, messages.has_more, request.view));
}

Answer GetMessage(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(Message message, api.threads.GetMessage(request.project, ThreadId(request.Id("thread_id")),
                                                                   MessageId(request.Id("message_id"))));
  return Json(Render(message, request.view));
}

Answer UpdateMessage(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(std::optional<Metadata> metadata,
                           openai::ParseMetadataChange(request.body, request.view.version));
  if (!metadata.has_value()) return GetMessage(api, request);
  GATEWAY_ASSIGN_OR_RETURN(Message message,
                           api.threads.SetMessageMetadata(request.project, ThreadId(request.Id("thread_id")),
                                                          MessageId(request.Id("message_id")), *std::move(metadata)));
  return Json(Render(message, request.view));
}

Answer DeleteMessage(Api& api, Request& request) {
  GATEWAY_RETURN_IF_ERROR(api.threads.DeleteMessage(request.project, ThreadId(request.Id("thread_id")),
                                                    MessageId(request.Id("message_id"))));
  return Json(openai::RenderDeleted(request.Id("message_id"), "thread.message.deleted"));
}

Answer ListMessageFiles(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(PageRequest page, PageOf(request.query));
  GATEWAY_ASSIGN_OR_RETURN(Message message, api.threads.GetMessage(request.project, ThreadId(request.Id("thread_id")),
                                                                   MessageId(request.Id("message_id"))));
  GATEWAY_ASSIGN_OR_RETURN(Page<FileId> files,
                           Window(FilesOf(message), page, [](const FileId& file) { return file.value; }));
  return Json(openai::RenderMessageFiles(files.items, message, files.has_more));
}

Answer GetMessageFile(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(Message message, api.threads.GetMessage(request.project, ThreadId(request.Id("thread_id")),
                                                                   MessageId(request.Id("message_id"))));
  FileId wanted(request.Id("file_id"));
  std::vector<FileId> files = FilesOf(message);
  if (std::find(files.begin(), files.end(), wanted) == files.end()) return MissingError("file", wanted.value);
  return Json(openai::RenderMessageFile(wanted, message));
}

}  // namespace carrel::gateway::http
