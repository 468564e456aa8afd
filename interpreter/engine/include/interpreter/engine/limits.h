// The limits of a session and of a call: defaults, maxima, and what a request makes of them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/jail.h"

namespace carrel::interpreter {

// Every field in the unit of its name. In a request 0 means: the default. Meaning, defaults and ranges: the comments of
// carrel.interpreter.v1.Limits; the numbers: kLimitFields.
struct Limits {
  uint64_t wall_ms = 0;
  uint64_t cpu_ms = 0;
  uint64_t memory_bytes = 0;
  uint64_t processes = 0;
  uint64_t workspace_bytes = 0;
  uint64_t workspace_files = 0;
  uint64_t output_bytes = 0;
  uint64_t display_bytes = 0;
  uint64_t artifacts = 0;
  uint64_t artifact_bytes = 0;
  uint64_t cpu_millis = 0;
  uint64_t session_cpu_ms = 0;

  friend bool operator==(const Limits&, const Limits&) = default;
};

struct LimitField {
  std::string_view name;  // as in the contract
  uint64_t Limits::*field;
  uint64_t fallback;
  uint64_t min;
  uint64_t max;
  // true: may be given with every call. false: fixed when the session is made.
  bool per_call;
};

inline constexpr std::array<LimitField, 12> kLimitFields = {{
    {"wall_ms", &Limits::wall_ms, 60'000, 1, 600'000, true},
    {"cpu_ms", &Limits::cpu_ms, 60'000, 1, 600'000, true},
    {"memory_bytes", &Limits::memory_bytes, 1ull << 30, 64ull << 20, 16ull << 30, false},
    {"processes", &Limits::processes, 128, 8, 4096, false},
    {"workspace_bytes", &Limits::workspace_bytes, 512ull << 20, 1ull << 20, 8ull << 30, false},
    {"workspace_files", &Limits::workspace_files, 65'536, 16, 1'000'000, false},
    {"output_bytes", &Limits::output_bytes, 1ull << 20, 1ull << 10, 64ull << 20, true},
    {"display_bytes", &Limits::display_bytes, 16ull << 20, 1ull << 10, 64ull << 20, true},
    {"artifacts", &Limits::artifacts, 256, 1, 4096, true},
    {"artifact_bytes", &Limits::artifact_bytes, 64ull << 20, 1, 512ull << 20, true},
    {"cpu_millis", &Limits::cpu_millis, 1000, 100, 64'000, false},
    {"session_cpu_ms", &Limits::session_cpu_ms, 86'400'000, 1, 86'400'000, false},
}};

// The policies that sessions can be made of (a jailer may have others that are a server's own, and would never answer a
// session), in none of which a session may have more than `memory_bytes_max`.
[[nodiscard]] std::vector<sandbox::PolicyInfo> RuntimesOf(const sandbox::JailMaker& jails, uint64_t memory_bytes_max);

// What a session may have at most, and has when it asks for nothing, under a jail policy whose defaults and caps apply
// to what the jail enforces.
// What is set in `configured` comes before both, as far as the policy allows it.
[[nodiscard]] Limits DefaultLimits(const sandbox::PolicyInfo& policy, const Limits& configured = {});
[[nodiscard]] Limits MaximumLimits(const sandbox::PolicyInfo& policy);

// `requested` with 0 replaced by `fallback`'s value. INVALID_ARGUMENT (see errors.h) for the first field out of range.
[[nodiscard]] absl::StatusOr<Limits> ResolveSessionLimits(const Limits& requested, const Limits& fallback,
                                                          const Limits& maxima);
// The same for one call in a session that has `session`: what is fixed at creation must be 0 or the session's own.
[[nodiscard]] absl::StatusOr<Limits> ResolveCallLimits(const Limits& requested, const Limits& session,
                                                       const Limits& maxima);

// "wall_ms" to "30000", and so on, by the names of kLimitFields. INVALID_ARGUMENT, with the name that is wrong and what
// would be right.
[[nodiscard]] absl::StatusOr<Limits> ParseLimits(const std::map<std::string, std::string>& texts);

[[nodiscard]] sandbox::JailLimits ToJailLimits(const Limits& limits);

}  // namespace carrel::interpreter
