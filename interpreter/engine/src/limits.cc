#include "interpreter/engine/limits.h"

#include <algorithm>
#include <string>

#include "absl/strings/numbers.h"
#include "interpreter/engine/errors.h"
#include "interpreter/engine/text.h"

namespace carrel::interpreter {
namespace {

// Which of our limits the jail enforces, and under which name there.
struct JailField {
  uint64_t Limits::*ours;
  uint64_t sandbox::JailLimits::*jails;
};
constexpr std::array<JailField, 5> kJailFields = {{
    {&Limits::memory_bytes, &sandbox::JailLimits::memory_bytes},
    {&Limits::processes, &sandbox::JailLimits::processes},
    {&Limits::workspace_bytes, &sandbox::JailLimits::workspace_bytes},
    {&Limits::workspace_files, &sandbox::JailLimits::workspace_files},
    {&Limits::cpu_millis, &sandbox::JailLimits::cpu_millis},
}};

absl::Status OutOfRange(const LimitField& field, uint64_t value, uint64_t max) {
  return InvalidField(StrCat("limits.", field.name), StrCat(value),
                      StrCat(field.min, " to ", max, ", or 0 for the default"));
}

}  // namespace

std::vector<sandbox::PolicyInfo> RuntimesOf(const sandbox::JailMaker& jails, uint64_t memory_bytes_max) {
  std::vector<sandbox::PolicyInfo> runtimes = jails.policies();
  std::erase_if(runtimes, [](const auto& policy) { return policy.runtime == sandbox::RuntimeUse::kNone; });
  for (sandbox::PolicyInfo& runtime : runtimes) {
    uint64_t& cap = runtime.caps.memory_bytes;
    cap = cap == 0 ? memory_bytes_max : std::min(cap, memory_bytes_max);
  }
  return runtimes;
}

Limits MaximumLimits(const sandbox::PolicyInfo& policy) {
  Limits maxima;
  for (const LimitField& field : kLimitFields) maxima.*field.field = field.max;
  for (const JailField& field : kJailFields) {
    const uint64_t cap = policy.caps.*field.jails;
    if (cap > 0) maxima.*field.ours = std::min(maxima.*field.ours, cap);
  }
  return maxima;
}

Limits DefaultLimits(const sandbox::PolicyInfo& policy, const Limits& configured) {
  const Limits maxima = MaximumLimits(policy);
  Limits defaults;
  for (const LimitField& field : kLimitFields) defaults.*field.field = field.fallback;
  for (const JailField& field : kJailFields) {
    const uint64_t wanted = policy.defaults.*field.jails;
    if (wanted > 0) defaults.*field.ours = wanted;
  }
  for (const LimitField& field : kLimitFields) {
    if (configured.*field.field > 0) defaults.*field.field = configured.*field.field;
    defaults.*field.field = std::min(defaults.*field.field, maxima.*field.field);
  }
  return defaults;
}

absl::StatusOr<Limits> ResolveSessionLimits(const Limits& requested, const Limits& fallback, const Limits& maxima) {
  Limits limits;
  for (const LimitField& field : kLimitFields) {
    const uint64_t value = requested.*field.field;
    const uint64_t max = maxima.*field.field;
    if (value != 0 && (value < field.min || value > max)) return OutOfRange(field, value, max);
    limits.*field.field = value != 0 ? value : fallback.*field.field;
  }
  return limits;
}

absl::StatusOr<Limits> ResolveCallLimits(const Limits& requested, const Limits& session, const Limits& maxima) {
  for (const LimitField& field : kLimitFields) {
    const uint64_t value = requested.*field.field;
    if (!field.per_call && value != 0 && value != session.*field.field) {
      return InvalidField(StrCat("limits.", field.name), StrCat(value),
                          StrCat("0, for it was fixed to ", session.*field.field, " when the session was made"));
    }
  }
  return ResolveSessionLimits(requested, session, maxima);
}

absl::StatusOr<Limits> ParseLimits(const std::map<std::string, std::string>& texts) {
  Limits limits;
  for (const auto& [name, text] : texts) {
    const auto* field = std::find_if(kLimitFields.begin(), kLimitFields.end(),
                                     [&name = name](const LimitField& known) { return known.name == name; });
    if (field == kLimitFields.end()) {
      std::string names;
      for (const LimitField& known : kLimitFields) names = StrCat(names, names.empty() ? "" : ", ", known.name);
      return absl::InvalidArgumentError(StrCat("no limit is called \"", name, "\"; there are: ", names));
    }
    uint64_t value = 0;
    if (!absl::SimpleAtoi(text, &value) || value < field->min || value > field->max) {
      return absl::InvalidArgumentError(
          StrCat(name, " is \"", text, "\": expected a whole number from ", field->min, " to ", field->max));
    }
    limits.*field->field = value;
  }
  return limits;
}

sandbox::JailLimits ToJailLimits(const Limits& limits) {
  sandbox::JailLimits jail;
  for (const JailField& field : kJailFields) jail.*field.jails = limits.*field.ours;
  return jail;
}

}  // namespace carrel::interpreter
