// A run as it is stored, from what a client asks for and the assistant.
#pragma once

#include "absl/time/time.h"
#include "gateway/types/assistant.h"
#include "gateway/types/run.h"

namespace carrel::gateway {

// Queued, expiring kRunLifetime after `now`. Without id and thread.
[[nodiscard]] Run MakeRun(const Assistant& assistant, const NewRun& request, absl::Time now);

}  // namespace carrel::gateway
