// The pseudo files of control groups: finding the hierarchies, reading, writing, making and removing groups.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/cgroup.h"

namespace carrel::sandbox {

// What a jailer's tree is called, before its pid.
inline constexpr std::string_view kTreePrefix = "carrel-";
// Rounds of a millisecond that cleaning up waits for processes to end.
inline constexpr int kCleanupRounds = 500;

// Our own group in every hierarchy that has a controller we need. FAILED_PRECONDITION: one is mounted nowhere.
[[nodiscard]] absl::StatusOr<CgroupPlaces> FindOwnGroups(const CgroupOptions& options);

// Our own group and those above it, as far as they can be seen, in every hierarchy that could limit what `controller`
// counts: its own of v1, and v2, where a group that lacks the controller lies below one that has it. Empty: none is
// mounted, or none shows us.
[[nodiscard]] std::vector<CgroupPlace> FindGroupsUpwards(const CgroupOptions& options, std::string_view controller);

// On v2: lets `controllers` be used in groups below `directory`; moves the processes of `directory` into a leaf of
// their own where the kernel wants that and the group is ours to arrange (a container's root, or delegated by systemd).
// Who is in such a leaf has the group above it for his own: a second jailer of the same service, or the next one.
[[nodiscard]] absl::Status EnableBelow(const std::string& directory, const std::vector<std::string>& controllers,
                                       bool kernel);

[[nodiscard]] absl::StatusOr<std::string> ReadGroupFile(const std::string& directory, std::string_view file);
[[nodiscard]] absl::Status WriteGroupFile(const std::string& directory, std::string_view file, std::string_view text,
                                          bool kernel);
[[nodiscard]] bool HasGroupFile(const std::string& directory, std::string_view file);
// The number in a file that holds one; the number after `key` in a file of "key number" lines. 0 when there is none.
[[nodiscard]] uint64_t GroupNumber(const std::string& directory, std::string_view file);
[[nodiscard]] uint64_t GroupNumber(const std::string& directory, std::string_view file, std::string_view key);

// Kills what is in the group, the same way as Cgroup::KillAll.
[[nodiscard]] absl::Status KillGroup(const std::string& directory, int rounds);
[[nodiscard]] std::vector<pid_t> GroupProcesses(const std::string& directory);
// Removes the group and the groups below it; they must have no processes. Retries while the kernel is still emptying.
[[nodiscard]] absl::Status RemoveGroup(const std::string& directory, bool kernel);
// Makes a jailer's tree, or takes one that nobody holds, and the lock on it that says "my jailer is alive".
// INTERNAL: another process has it.
[[nodiscard]] absl::StatusOr<UniqueFd> MakeLockedGroup(const std::string& directory);
// Kills and removes the trees below `parent` whose jailers are dead. What cannot be removed now is tried again by the
// next start.
void RemoveDeadTrees(const std::string& parent, bool kernel);
// Names of the groups directly below.
[[nodiscard]] std::vector<std::string> GroupsBelow(const std::string& directory);

}  // namespace carrel::sandbox
