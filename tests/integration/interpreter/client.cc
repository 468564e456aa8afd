#include "tests/integration/interpreter/client.h"

#include <iostream>

namespace carrel::testing {

namespace v1 = interpreter::v1;

std::string Ran::result() const {
  for (const v1::Display& display : displays) {
    if (display.is_result()) return display.data().at("text/plain");
  }
  return "";
}

Ran Client::Execute(const v1::ExecuteRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(100));
  const std::unique_ptr<grpc::ClientReader<v1::ExecuteEvent>> reader = stub_->Execute(&context, request);
  Ran ran;
  v1::ExecuteEvent event;
  while (reader->Read(&event)) {
    std::string kind;
    switch (event.event_case()) {
      case v1::ExecuteEvent::kStarted:
        kind = "started";
        ran.session_id = event.started().session_id();
        break;
      case v1::ExecuteEvent::kStdout:
        kind = "stdout";
        ran.out += event.stdout();
        break;
      case v1::ExecuteEvent::kStderr:
        kind = "stderr";
        ran.err += event.stderr();
        break;
      case v1::ExecuteEvent::kDisplay:
        kind = "display";
        ran.displays.push_back(event.display());
        break;
      case v1::ExecuteEvent::kArtifact:
        kind = "artifact";
        ran.artifacts.push_back(event.artifact());
        break;
      case v1::ExecuteEvent::kFinished:
        kind = "finished";
        ran.outcome = event.finished();
        break;
      case v1::ExecuteEvent::EVENT_NOT_SET:
        kind = "nothing";
        break;
    }
    if (ran.order.empty() || ran.order.back() != kind) ran.order.push_back(kind);
  }
  ran.status = reader->Finish();
  return ran;
}

Ran Client::Run(const std::string& session_id, const std::string& code, const v1::Limits& limits) {
  v1::ExecuteRequest request;
  request.set_session_id(session_id);
  request.set_code(code);
  *request.mutable_limits() = limits;
  return Execute(request);
}

std::string Client::NewSession(const v1::Limits& limits, const std::string& owner) {
  grpc::ClientContext context;
  v1::CreateSessionRequest request;
  request.set_owner(owner);
  *request.mutable_limits() = limits;
  v1::Session session;
  const grpc::Status status = stub_->CreateSession(&context, request, &session);
  if (!status.ok()) std::cerr << "CreateSession: " << status.error_message() << '\n';
  return session.session_id();
}

bool Client::Delete(const std::string& session_id) {
  grpc::ClientContext context;
  v1::DeleteSessionRequest request;
  request.set_session_id(session_id);
  v1::DeleteSessionResponse response;
  return stub_->DeleteSession(&context, request, &response).ok() && response.existed();
}

grpc::Status Client::Upload(const std::string& session_id, const std::string& path, const std::string& bytes,
                            bool replace) {
  grpc::ClientContext context;
  v1::File file;
  const std::unique_ptr<grpc::ClientWriter<v1::UploadFileRequest>> writer = stub_->UploadFile(&context, &file);
  v1::UploadFileRequest part;
  part.mutable_header()->set_session_id(session_id);
  part.mutable_header()->set_path(path);
  part.mutable_header()->set_replace(replace);
  bool open = writer->Write(part);
  constexpr size_t kPiece = 512 << 10;
  for (size_t offset = 0; open && offset < bytes.size(); offset += kPiece) {
    part.set_data(bytes.substr(offset, kPiece));
    open = writer->Write(part);
  }
  writer->WritesDone();
  return writer->Finish();
}

std::string Client::Download(const std::string& session_id, const std::string& path) {
  grpc::ClientContext context;
  v1::DownloadFileRequest request;
  request.set_session_id(session_id);
  request.set_path(path);
  const std::unique_ptr<grpc::ClientReader<v1::DownloadFileResponse>> reader = stub_->DownloadFile(&context, request);
  std::string bytes;
  v1::DownloadFileResponse part;
  while (reader->Read(&part)) bytes += part.data();
  const grpc::Status status = reader->Finish();
  return status.ok() ? bytes : "error " + std::to_string(status.error_code());
}

}  // namespace carrel::testing
