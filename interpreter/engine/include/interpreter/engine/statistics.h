// What starting and ending sessions has cost so far, step by step, and how often what happened. Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "sandbox/jail.h"

namespace carrel::interpreter {

// The steps of a session's start and end. Those of the jail count from the request's coming to the jailer, for some of
// them run side by side; the others are lengths.
enum class Step : uint8_t {
  kJailCgroup,   // until its control group is there
  kJailInit,     // until its init is cloned into its namespaces
  kJailMounts,   // until its mounts stand
  kJailForked,   // until the zygote has forked
  kJailLetGo,    // until the child may enter
  kJailEntered,  // until everything is given up
  kJail,         // the jail as the server waits for it
  kGreet,        // the driver's first answer
  kWarm,         // what a session of the pool does in advance
  kAdmission,    // waiting for room
  kStartPooled,  // a session, taken from the pool
  kStartForked,  // a session, made for the request
  kEnd,          // everything of a session gone
  kStepsMax,
};
[[nodiscard]] std::string_view StepName(Step step);

enum class Event : uint8_t {
  kStartedPooled,
  kStartedForked,
  kStartFailed,
  kRefused,  // no room, after waiting
  kExpired,  // idle, or over its lifetime
  kPoolMade,
  kPoolDropped,  // died, or of an old runtime
  kPoolFailed,
  kEventsMax,
};
[[nodiscard]] std::string_view EventName(Event event);

// Quantiles are of the last kSamplesMax, count and sum of all.
struct StepSummary {
  Step step = Step::kJail;
  uint64_t count = 0;
  absl::Duration sum;
  absl::Duration p50;
  absl::Duration p95;
  absl::Duration p99;
  absl::Duration max;
};

class Statistics final {
 public:
  static constexpr size_t kSamplesMax = 1024;

  void Add(Step step, absl::Duration length);
  // Those that there were.
  void Add(const sandbox::SetupTimes& times);
  void Count(Event event);

  // Those with at least one sample, in the order of Step.
  [[nodiscard]] std::vector<StepSummary> Steps() const;
  [[nodiscard]] uint64_t Total(Event event) const;

 private:
  struct Series {
    uint64_t count = 0;
    absl::Duration sum;
    std::vector<float> last_us;  // a ring
  };
  mutable std::mutex mutex_;
  std::array<Series, static_cast<size_t>(Step::kStepsMax)> series_;
  std::array<uint64_t, static_cast<size_t>(Event::kEventsMax)> events_{};
};

}  // namespace carrel::interpreter
