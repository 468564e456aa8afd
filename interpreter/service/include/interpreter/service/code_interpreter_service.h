// carrel.interpreter.v1.CodeInterpreter over the engine.
#pragma once

#include <memory>
#include <string>

#include "carrel/interpreter/v1/code_interpreter.grpc.pb.h"
#include "interpreter/engine/session_table.h"

namespace carrel::interpreter {

struct RuntimeInfo {
  std::string name;
  std::string description;
  std::string version;
  std::map<std::string, std::string> packages;
};

struct ServiceOptions {
  // Of Carrel.
  std::string version;
  // Uploads wait here until they are whole, as files without a name. "": in memory.
  std::string spool_dir;
  // What is told about the runtimes; one that the jailer does not offer is left out.
  std::vector<RuntimeInfo> runtimes;
};

// Thread-safe. `table` must outlive the service.
[[nodiscard]] std::unique_ptr<v1::CodeInterpreter::Service> MakeCodeInterpreterService(ServiceOptions options,
                                                                                       SessionTable& table);

}  // namespace carrel::interpreter
