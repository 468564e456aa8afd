// What of the jail this machine can hold, found out by doing it (in children that end), not by reading settings: a
// system may let the clone succeed and the mount fail.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/jail.h"

namespace carrel::sandbox {

struct DoctorReport {
  // The tier that `carrel-jailer --tier auto` would choose: "full", "userns", or "" when neither can be had.
  std::string tier;
  // namespaces, mounts, cgroup, rlimits, identity, landlock, seccomp: in the order in which they are put on.
  std::vector<LayerState> layers;
  // What is not a layer but costs time or safety, each with its mend.
  std::vector<LayerState> advice;
};

// Takes some tens of milliseconds; leaves nothing behind. Single-threaded callers only (it forks).
[[nodiscard]] DoctorReport ExamineMachine();

// The same for the tier `confined`, which nobody gets without asking for it: namespaces is never active, mounts are the
// places that a session may write to, and landlock is active only with its scopes (ABI 6), which stand for the pid
// namespace. `tier` is "confined", or "" when a layer is missing.
[[nodiscard]] DoctorReport ExamineConfined();

// true: sessions can run without --allow-no-cgroup or any other weakening.
[[nodiscard]] bool IsComplete(const DoctorReport& report);

// For people, lines of at most 120 columns; and one JSON object for `carrel doctor`.
[[nodiscard]] std::string DoctorText(const DoctorReport& report);
[[nodiscard]] std::string DoctorJson(const DoctorReport& report);

}  // namespace carrel::sandbox
