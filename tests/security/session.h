// Calls of the interpreter's service, as the security tests need them.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <vector>

#include "carrel/interpreter/v1/code_interpreter.grpc.pb.h"
#include "support/jailed_server.h"

namespace carrel::testing {

struct Reply {
  grpc::Status status;
  std::string out;
  std::string err;
  std::vector<interpreter::v1::Artifact> artifacts;
  bool finished = false;
  interpreter::v1::Outcome outcome;
};

class Interpreter final {
 public:
  explicit Interpreter(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(interpreter::v1::CodeInterpreter::NewStub(channel)) {}

  // The new session's id. Fails the test when there is none.
  [[nodiscard]] std::string Create(const interpreter::v1::Limits& limits = {}, const std::string& runtime = "") const;
  [[nodiscard]] Reply Run(const std::string& session, const std::string& code,
                          interpreter::v1::ReturnFiles files = interpreter::v1::RETURN_FILES_REFERENCES,
                          const interpreter::v1::Limits& limits = {}) const;
  void Delete(const std::string& session) const;
  [[nodiscard]] grpc::Status Upload(const std::string& session, const std::string& path, const std::string& bytes,
                                    bool replace = false) const;
  [[nodiscard]] std::vector<std::string> Files(const std::string& session) const;

 private:
  std::unique_ptr<interpreter::v1::CodeInterpreter::Stub> stub_;
};

// The limits that "processes=32 wall_ms=5000" means. An unknown name fails the test.
[[nodiscard]] interpreter::v1::Limits ParseLimits(const std::string& text);

// A fresh session is as a first one would be: it computes, its workspace is empty, nobody is in it but itself.
void ExpectCleanSession(const Interpreter& interpreter, Tier tier);

}  // namespace carrel::testing
