#include "session.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace carrel::testing {
namespace {

using namespace interpreter::v1;  // NOLINT(google-build-using-namespace): messages of the contract only

constexpr auto kCallMax = std::chrono::seconds(60);

void SetDeadline(grpc::ClientContext& context) { context.set_deadline(std::chrono::system_clock::now() + kCallMax); }

// Imports what an attack may have poisoned, and shows what it sees.
constexpr char kCanary[] = R"(
import json, os, sys, time
print(json.dumps([1 + 1, sum([1, 2]), 256 + 1]))
print(os.listdir("/mnt/data"), os.listdir("/tmp"), os.listdir("/dev/shm"))
try:
    print("processes", len([name for name in os.listdir("/proc") if name.isdigit()]) <= 3)
except PermissionError:
    print("processes hidden")
)";

}  // namespace

std::string Interpreter::Create(const Limits& limits, const std::string& runtime) const {
  grpc::ClientContext context;
  SetDeadline(context);
  CreateSessionRequest request;
  request.set_owner("security");
  request.set_runtime(runtime);
  *request.mutable_limits() = limits;
  Session session;
  const grpc::Status status = stub_->CreateSession(&context, request, &session);
  EXPECT_TRUE(status.ok()) << "CreateSession: " << status.error_message();
  return session.session_id();
}

Reply Interpreter::Run(const std::string& session, const std::string& code, ReturnFiles files,
                       const Limits& limits) const {
  grpc::ClientContext context;
  SetDeadline(context);
  ExecuteRequest request;
  request.set_owner("security");
  request.set_session_id(session);
  request.set_code(code);
  request.set_return_files(files);
  *request.mutable_limits() = limits;
  const auto stream = stub_->Execute(&context, request);
  Reply reply;
  ExecuteEvent event;
  while (stream->Read(&event)) {
    reply.out += event.stdout();
    reply.err += event.stderr();
    if (event.has_artifact()) reply.artifacts.push_back(event.artifact());
    if (event.has_finished()) {
      reply.finished = true;
      reply.outcome = event.finished();
    }
  }
  reply.status = stream->Finish();
  return reply;
}

void Interpreter::Delete(const std::string& session) const {
  grpc::ClientContext context;
  SetDeadline(context);
  DeleteSessionRequest request;
  request.set_owner("security");
  request.set_session_id(session);
  DeleteSessionResponse response;
  const grpc::Status status = stub_->DeleteSession(&context, request, &response);
  EXPECT_TRUE(status.ok()) << "DeleteSession: " << status.error_message();
}

grpc::Status Interpreter::Upload(const std::string& session, const std::string& path, const std::string& bytes,
                                 bool replace) const {
  grpc::ClientContext context;
  SetDeadline(context);
  File file;
  const auto stream = stub_->UploadFile(&context, &file);
  UploadFileRequest request;
  request.mutable_header()->set_owner("security");
  request.mutable_header()->set_session_id(session);
  request.mutable_header()->set_path(path);
  request.mutable_header()->set_replace(replace);
  stream->Write(request);
  request.set_data(bytes);
  stream->Write(request);
  stream->WritesDone();
  return stream->Finish();
}

std::vector<std::string> Interpreter::Files(const std::string& session) const {
  grpc::ClientContext context;
  SetDeadline(context);
  ListFilesRequest request;
  request.set_owner("security");
  request.set_session_id(session);
  ListFilesResponse response;
  const grpc::Status status = stub_->ListFiles(&context, request, &response);
  EXPECT_TRUE(status.ok()) << "ListFiles: " << status.error_message();
  std::vector<std::string> paths;
  for (const File& file : response.files()) paths.push_back(file.path());
  return paths;
}

Limits ParseLimits(const std::string& text) {
  Limits limits;
  std::istringstream words(text);
  std::string word;
  while (words >> word) {
    const size_t equals = word.find('=');
    const auto* field = Limits::descriptor()->FindFieldByName(word.substr(0, equals));
    if (field == nullptr || equals == std::string::npos) {
      ADD_FAILURE() << "no limit is called " << word;
      continue;
    }
    Limits::GetReflection()->SetUInt64(&limits, field, std::stoull(word.substr(equals + 1)));
  }
  return limits;
}

void ExpectCleanSession(const Interpreter& interpreter, Tier tier) {
  const std::string session = interpreter.Create();
  const Reply reply = interpreter.Run(session, kCanary);
  EXPECT_TRUE(reply.status.ok()) << reply.status.error_message();
  // Without a pid namespace it is Landlock that shows nobody.
  const char* const processes = tier == Tier::kConfined ? "hidden" : "True";
  EXPECT_EQ(reply.out, absl::StrCat("[2, 3, 257]\n[] [] []\nprocesses ", processes, "\n")) << reply.err;
  EXPECT_EQ(reply.outcome.kind(), COMPLETED) << reply.outcome.ShortDebugString();
  interpreter.Delete(session);
}

}  // namespace carrel::testing
