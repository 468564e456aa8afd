// What a part of Carrel left behind on the machine: processes, control groups, mounts.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace carrel::testing {

// The processes below `root` (by parent), itself not counted.
[[nodiscard]] std::vector<pid_t> Descendants(pid_t root);

// Makes this process the one to which orphans of its children fall, so that nothing they leave can hide; and remembers
// the machine as it is. One at a time in a process, made before what it watches is started.
class LeftoverWatch final {
 public:
  LeftoverWatch();

  // Everything that is there now and was not before, one a line; "" when nothing. Waits up to `patience` for it to go.
  // `jailer`: whose control groups to look for. Ends the stray processes that it reports.
  [[nodiscard]] std::string Find(pid_t jailer, absl::Duration patience);

 private:
  std::set<pid_t> children_;
  std::set<std::string> mounts_;
};

}  // namespace carrel::testing
