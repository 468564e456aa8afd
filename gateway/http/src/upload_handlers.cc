// Files that come in parts.
#include <utility>

#include "gateway/openai/requests.h"
#include "gateway/openai/responses.h"
#include "handlers.h"

namespace carrel::gateway::http {

Answer CreateUpload(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(NewUpload wanted, openai::ParseNewUpload(request.body));
  GATEWAY_ASSIGN_OR_RETURN(const FileUpload upload, api.uploads.Create(request.project, std::move(wanted)));
  return Json(openai::RenderUpload(upload, nullptr, request.view));
}

Answer AddUploadPart(Api& api, Request& request) {
  if (!request.upload.file.has_value()) return MakeError(ErrorKind::kParameterMissing, "data", {});
  GATEWAY_ASSIGN_OR_RETURN(const UploadPart part,
                           api.uploads.AddPart(request.project, UploadId(request.Id("upload_id")),
                                               *std::exchange(request.upload.file, std::nullopt)));
  return Json(openai::RenderUploadPart(part));
}

Answer CompleteUpload(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(const openai::UploadCompletion wanted, openai::ParseUploadCompletion(request.body));
  GATEWAY_ASSIGN_OR_RETURN(
      const CompletedUpload completed,
      api.uploads.Complete(request.project, UploadId(request.Id("upload_id")), wanted.parts, wanted.md5));
  return Json(openai::RenderUpload(completed.upload, &completed.file, request.view));
}

Answer CancelUpload(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(const FileUpload upload,
                           api.uploads.Cancel(request.project, UploadId(request.Id("upload_id"))));
  return Json(openai::RenderUpload(upload, nullptr, request.view));
}

}  // namespace carrel::gateway::http
