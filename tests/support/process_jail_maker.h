// A JailMaker whose jails are plain child processes of this one, without any jail: for tests of what stands on the port
// when the jail is not what they test. Limits on memory and processor time become rlimits.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sandbox/jail.h"

namespace carrel::testing {

// Policy `name` runs `command` (an absolute path and its arguments). Workspaces are UNIMPLEMENTED.
[[nodiscard]] std::unique_ptr<sandbox::JailMaker> MakeProcessJailMaker(std::string name,
                                                                       std::vector<std::string> command);

}  // namespace carrel::testing
