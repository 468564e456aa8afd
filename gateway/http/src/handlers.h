// The functions behind the routes, by object.
#pragma once

#include "absl/status/statusor.h"
#include "gateway/http/server.h"
#include "gateway/types/error.h"
#include "gateway/types/status_macros.h"
#include "message.h"

namespace carrel::gateway::http {

using Answer = absl::StatusOr<Response>;

inline Response Json(std::string text) { return Response{.status = 200, .body = JsonBody{std::move(text)}}; }

// limit, order, after, before.
absl::StatusOr<PageRequest> PageOf(const Query& query, int limit_default = 20, int limit_max = 100);

Answer CreateAssistant(Api& api, Request& request);
Answer ListAssistants(Api& api, Request& request);
Answer GetAssistant(Api& api, Request& request);
Answer UpdateAssistant(Api& api, Request& request);
Answer DeleteAssistant(Api& api, Request& request);
Answer AttachAssistantFile(Api& api, Request& request);
Answer ListAssistantFiles(Api& api, Request& request);
Answer GetAssistantFile(Api& api, Request& request);
Answer DetachAssistantFile(Api& api, Request& request);

Answer CreateThread(Api& api, Request& request);
Answer GetThread(Api& api, Request& request);
Answer UpdateThread(Api& api, Request& request);
Answer DeleteThread(Api& api, Request& request);
Answer CreateMessage(Api& api, Request& request);
Answer ListMessages(Api& api, Request& request);
Answer GetMessage(Api& api, Request& request);
Answer UpdateMessage(Api& api, Request& request);
Answer DeleteMessage(Api& api, Request& request);
Answer ListMessageFiles(Api& api, Request& request);
Answer GetMessageFile(Api& api, Request& request);

Answer CreateRun(Api& api, Request& request);
Answer CreateThreadAndRun(Api& api, Request& request);
Answer ListRuns(Api& api, Request& request);
Answer GetRun(Api& api, Request& request);
Answer UpdateRun(Api& api, Request& request);
Answer CancelRun(Api& api, Request& request);
Answer SubmitToolOutputs(Api& api, Request& request);
Answer ListSteps(Api& api, Request& request);
Answer GetStep(Api& api, Request& request);

Answer CreateFile(Api& api, Request& request);
Answer ListFiles(Api& api, Request& request);
Answer GetFile(Api& api, Request& request);
Answer GetFileContent(Api& api, Request& request);
Answer DeleteFile(Api& api, Request& request);

Answer CreateContainer(Api& api, Request& request);
Answer ListContainers(Api& api, Request& request);
Answer GetContainer(Api& api, Request& request);
Answer DeleteContainer(Api& api, Request& request);
Answer CreateContainerFile(Api& api, Request& request);
Answer ListContainerFiles(Api& api, Request& request);
Answer GetContainerFile(Api& api, Request& request);
Answer GetContainerFileContent(Api& api, Request& request);
Answer DeleteContainerFile(Api& api, Request& request);

Answer CreateUpload(Api& api, Request& request);
Answer AddUploadPart(Api& api, Request& request);
Answer CompleteUpload(Api& api, Request& request);
Answer CancelUpload(Api& api, Request& request);

Answer CreateStore(Api& api, Request& request);
Answer ListStores(Api& api, Request& request);
Answer GetStore(Api& api, Request& request);
Answer UpdateStore(Api& api, Request& request);
Answer DeleteStore(Api& api, Request& request);
Answer SearchStore(Api& api, Request& request);
Answer AddStoreFile(Api& api, Request& request);
Answer ListStoreFiles(Api& api, Request& request);
Answer GetStoreFile(Api& api, Request& request);
Answer UpdateStoreFile(Api& api, Request& request);
Answer RemoveStoreFile(Api& api, Request& request);
Answer GetStoreFileContent(Api& api, Request& request);
Answer CreateBatch(Api& api, Request& request);
Answer GetBatch(Api& api, Request& request);
Answer CancelBatch(Api& api, Request& request);
Answer ListBatchFiles(Api& api, Request& request);

Answer ListModels(Api& api, Request& request);
Answer GetModel(Api& api, Request& request);

Answer CiteFile(Api& api, Request& request);
Answer DrawFilePage(Api& api, Request& request);
Answer GetServer(Api& api, Request& request);
Answer CreateKey(Api& api, Request& request);
Answer ListKeys(Api& api, Request& request);
Answer RevokeKey(Api& api, Request& request);

}  // namespace carrel::gateway::http
