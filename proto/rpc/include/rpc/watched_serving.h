// Serves until a signal, as long as what the server rests on answers.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "rpc/server.h"
#include "rpc/signals.h"

namespace carrel::rpc {

struct WatchedServingOptions {
  absl::Duration check_every = absl::Seconds(2);
  // Failures in a row after which health says NOT_SERVING; it says SERVING again after the first success.
  int failures_max = 3;
};

// Health says SERVING when this is called. `check` is asked again and again whether what the server cannot do without
// (its jailer) answers; it must return within seconds. What it says is logged when it changes. Returns the signal.
[[nodiscard]] int ServeWhileItAnswers(Server& server, ShutdownSignals& signals,
                                      const std::function<absl::Status()>& check, WatchedServingOptions options = {});

}  // namespace carrel::rpc
