// When a call to the model is made again, and after how long.
#pragma once

#include <optional>
#include <string_view>

#include "absl/random/bit_gen_ref.h"
#include "absl/time/time.h"

namespace carrel::gateway {

struct RetryPolicy {
  // Calls in all, the first included.
  int attempts_max = 4;
  // The first wait is within [half of it, it]; each further one doubles, up to wait_max.
  absl::Duration wait_first = absl::Milliseconds(500);
  absl::Duration wait_max = absl::Seconds(20);
  // A server that asks for a longer pause is not asked again: the run would only look stuck.
  absl::Duration retry_after_max = absl::Seconds(60);
};

// Answers that another try may turn: 408, 409 (a conflict of the model's servers), 425, 429 and every 5xx but 501.
[[nodiscard]] bool IsRetryableStatus(int http_status);

// Of "Retry-After" (seconds, or an HTTP date, RFC 9110 §10.2.3) and "retry-after-ms". nullopt: neither is readable.
// A date in the past is zero.
[[nodiscard]] std::optional<absl::Duration> ReadRetryAfter(std::string_view retry_after,
                                                           std::string_view retry_after_ms, absl::Time now);

// The wait before attempt number `attempt` + 1, after `attempt` (1, 2, …) has failed. nullopt: give up.
[[nodiscard]] std::optional<absl::Duration> WaitBeforeRetry(const RetryPolicy& policy, int attempt,
                                                            std::optional<absl::Duration> retry_after,
                                                            absl::BitGenRef random);

}  // namespace carrel::gateway
