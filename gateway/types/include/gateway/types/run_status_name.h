// A run's status as the API writes it.
#pragma once

#include <string>

#include "gateway/types/run.h"

namespace carrel::gateway {

// "queued", "in_progress", … Thread-safe.
[[nodiscard]] std::string RunStatusName(RunStatus status);

}  // namespace carrel::gateway
