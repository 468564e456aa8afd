// Reads what a run needs before it asks the model for the first time. Blocks; thread-safe.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "gateway/assistants/prompt.h"
#include "gateway/core/backing.h"
#include "gateway/types/run.h"

namespace carrel::gateway {

struct LoadedInputs {
  PromptInputs inputs;
  // Files of the thread's store (and of a v1 assistant's) that are still being read.
  int64_t files_in_progress = 0;
};

// FAILED_PRECONDITION: a store that the run would search has expired; the message is for the user.
// `window_tokens` bounds how much history is read.
[[nodiscard]] absl::StatusOr<LoadedInputs> LoadInputs(const Backing& backing, const Run& run, int64_t window_tokens);

}  // namespace carrel::gateway
