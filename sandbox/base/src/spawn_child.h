// Between fork and exec: only async-signal-safe calls.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "sandbox/base/child_process.h"

namespace carrel {

enum class SpawnStage : uint32_t { kDescriptors, kParent, kDirectory, kBeforeExec, kExec };

struct SpawnFailure {
  SpawnStage stage = SpawnStage::kDescriptors;
  int32_t error = 0;
};

// All of it prepared before the fork.
struct SpawnPlan {
  int program = -1;  // executed by execveat when not -1
  const char* path = nullptr;
  char* const* argv = nullptr;
  char* const* env = nullptr;
  const char* directory = nullptr;
  std::span<std::pair<int, int>> fds;
  int report = -1;  // a close-on-exec pipe
  pid_t parent = -1;
  bool dies_with_parent = false;
  bool own_session = false;
  BeforeExec before_exec;
};

// The child's half; never comes back.
[[noreturn]] void RunSpawnedChild(const SpawnPlan& plan) noexcept;

}  // namespace carrel
