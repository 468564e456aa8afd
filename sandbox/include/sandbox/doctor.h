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
  // Layers that the operator said may be missing.
  std::vector<std::string> allowed;
};

// As the jailer's flags of the same names.
struct DoctorOptions {
  std::string tier = "auto";  // or "full", "userns", "confined"
  bool allow_no_cgroup = false;
  // As --workspaces: adds the layer `workspace`. Empty: workspaces are tmpfs, and there is no such layer.
  std::string workspace_directory;
  // false: every policy says `proc none`.
  bool private_proc = true;
};

// What would be found by a jailer with these options: below, with `allowed` set. The machine's report for a tier that
// is not the best there is says what that tier has.
[[nodiscard]] DoctorReport Examine(const DoctorOptions& options);

// Takes some tens of milliseconds; leaves nothing behind. Single-threaded callers only (it forks). `tier`: only this
// one is tried. `private_proc`: false where every policy says `proc none`.
[[nodiscard]] DoctorReport ExamineMachine(const std::string& tier = "auto", bool private_proc = true);

// The same for the tier `confined`, which nobody gets without asking for it: namespaces is never active and says what
// is not held without them, mounts are the places that a session may write to, and landlock is active only with its
// scopes (ABI 6), which stand for the pid namespace. `tier` is "confined", or "" when a layer is missing.
[[nodiscard]] DoctorReport ExamineConfined();

// Makes a disk-backed workspace below the directory, and lets it go. `tier`: that of who asks; only `full` can have
// one.
[[nodiscard]] LayerState ExamineDiskWorkspaces(const std::string& directory, const std::string& tier);

// true: sessions can run without --allow-no-cgroup or any other weakening.
[[nodiscard]] bool IsComplete(const DoctorReport& report);
// true: sessions can run, without layers that the operator said may be missing.
[[nodiscard]] bool IsAsAllowed(const DoctorReport& report);

// For people, lines of at most 120 columns; and one JSON object for `carrel doctor`.
[[nodiscard]] std::string DoctorText(const DoctorReport& report);
[[nodiscard]] std::string DoctorJson(const DoctorReport& report);

}  // namespace carrel::sandbox
