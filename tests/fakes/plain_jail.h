// A JailMaker without a jail: the driver runs as an ordinary process in a temporary directory, which is its workspace.
// For tests of what is above the jail. It limits nothing, so it must only run code of the tests' own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sandbox/jail.h"

namespace carrel::testing {

struct PlainJailOptions {
  std::vector<std::string> argv;
  std::vector<std::string> env;
};

// One policy, "python".
[[nodiscard]] std::unique_ptr<sandbox::JailMaker> MakePlainJails(PlainJailOptions options);
// The driver of this checkout with the packages of the runtime's site-packages.
[[nodiscard]] PlainJailOptions PythonDriver();

}  // namespace carrel::testing
