// Names that syscall policies may use.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace carrel::sandbox {

// "AF_UNIX", "CLONE_NEWNS|CLONE_NEWPID", "0x5412", "12", "-1" (all bits).
[[nodiscard]] std::optional<uint64_t> SyscallConstant(std::string_view text);

// "EPERM" -> 1.
[[nodiscard]] std::optional<int> ErrnoByName(std::string_view name);

// The number of a call on this architecture. -1: known, but another architecture's only. nullopt: no such call.
[[nodiscard]] std::optional<int> SyscallNumber(std::string_view name);

}  // namespace carrel::sandbox
