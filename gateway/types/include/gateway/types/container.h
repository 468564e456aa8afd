// A container as its project knows it: a session of code that outlives calls.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gateway/types/ids.h"
#include "gateway/types/outcome.h"

namespace carrel::gateway {

struct Container {
  ContainerId id;
  ProjectId project;
  absl::Time created_at;
  absl::Time last_active_at;  // to the minute
  std::string name;           // "": none
  std::string runtime;        // "": the default
  CodeLimits limits;          // as they were asked for
  int64_t idle_ms = 0;        // 0: the default
  // Paths that clients put there, to be told from what code wrote; the last kUserFilesMax.
  std::vector<std::string> user_files;
};

inline constexpr int64_t kContainerIdleMsDefault = 20 * 60 * 1000;
inline constexpr size_t kUserFilesMax = 1000;
inline constexpr size_t kContainerNameMax = 256;  // characters

// A container as a client asks for it.
struct NewContainer {
  std::string name;
  std::string runtime;
  CodeLimits limits;
  int64_t idle_ms = 0;
  std::vector<FileId> files;
};

}  // namespace carrel::gateway
