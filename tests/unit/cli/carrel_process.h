// The program `carrel`, run as a child with an environment and directories of its own.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "sandbox/base/child_process.h"
#include "sandbox/base/temp_dir.h"

namespace carrel::cli {

struct Result {
  int exit_code = -1;
  std::string out;
  std::string err;
};

[[nodiscard]] std::string ReadFile(const std::string& path);

class CarrelProcess : public testing::Test {
 protected:
  CarrelProcess();

  // Starts it; Await gives what it said.
  ChildProcess Spawn(std::vector<std::string> arguments, const std::string& input = "");
  Result Await(ChildProcess& process);
  Result Carrel(std::vector<std::string> arguments, const std::string& input = "");
  std::string WriteFile(const std::string& name, const std::string& text);

  TempDir temp_;
  std::string data_;                      // CARREL_DATA, with an empty run/ in it
  std::vector<std::string> environment_;  // more of it
};

}  // namespace carrel::cli
