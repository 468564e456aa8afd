// A client of CodeInterpreter for tests: one call, and everything it brought.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "carrel/interpreter/v1/code_interpreter.grpc.pb.h"

namespace carrel::testing {

struct Ran {
  grpc::Status status;
  std::string session_id;
  std::string out;
  std::string err;
  std::vector<interpreter::v1::Display> displays;
  std::vector<interpreter::v1::Artifact> artifacts;
  interpreter::v1::Outcome outcome;
  // "started", "stdout", "display" …, repetitions left out.
  std::vector<std::string> order;

  // Of the result of the last expression; "" when there is none.
  [[nodiscard]] std::string result() const;
};

class Client final {
 public:
  explicit Client(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(interpreter::v1::CodeInterpreter::NewStub(channel)) {}

  [[nodiscard]] Ran Execute(const interpreter::v1::ExecuteRequest& request);
  [[nodiscard]] Ran Run(const std::string& session_id, const std::string& code,
                        const interpreter::v1::Limits& limits = {});
  // The session's id; "" (and a failure on stderr) if it could not be made.
  [[nodiscard]] std::string NewSession(const interpreter::v1::Limits& limits = {}, const std::string& owner = "");
  [[nodiscard]] bool Delete(const std::string& session_id);
  [[nodiscard]] grpc::Status Upload(const std::string& session_id, const std::string& path, const std::string& bytes,
                                    bool replace = false);
  // The bytes, or the error's code name.
  [[nodiscard]] std::string Download(const std::string& session_id, const std::string& path);
  [[nodiscard]] interpreter::v1::CodeInterpreter::Stub& stub() { return *stub_; }

 private:
  std::unique_ptr<interpreter::v1::CodeInterpreter::Stub> stub_;
};

}  // namespace carrel::testing
