#include "support/syscall_needs.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace carrel::testing {
namespace {

using sandbox::SyscallAction;
using sandbox::SyscallCondition;
using sandbox::SyscallPolicy;
using sandbox::SyscallRule;

bool Holds(const SyscallCondition& condition, const std::array<uint64_t, 6>& arguments) {
  const uint64_t masked = arguments[condition.argument] & condition.mask;
  return condition.equal == (masked == condition.value);
}

bool IsIn(const SyscallPolicy& policy, const SyscallRule& rule) {
  return std::any_of(policy.rules.begin(), policy.rules.end(), [&rule](const SyscallRule& other) {
    return other.name == rule.name && other.reason == rule.reason;
  });
}

}  // namespace

void SyscallNeeds::Call(int number, const std::array<uint64_t, 6>& arguments) {
  for (size_t i = 0; i < policy_.rules.size(); ++i) {
    const SyscallRule& rule = policy_.rules[i];
    if (rule.number != number) continue;
    const auto holds = [&](const SyscallCondition& condition) { return Holds(condition, arguments); };
    if (!std::all_of(rule.conditions.begin(), rule.conditions.end(), holds)) continue;
    met_.insert(i);
    return;
  }
}

std::vector<std::string> SyscallNeeds::Unneeded(const SyscallPolicy& known) const {
  std::vector<std::string> found;
  for (size_t i = 0; i < policy_.rules.size(); ++i) {
    const SyscallRule& rule = policy_.rules[i];
    if (rule.action.kind != SyscallAction::Kind::kAllow || rule.number < 0 || met_.contains(i)) continue;
    if (IsIn(known, rule)) continue;
    found.push_back(absl::StrCat("line ", rule.line, ": nothing needs \"allow ", rule.name,
                                 rule.conditions.empty() ? "" : " if ...", "\" (", rule.reason, ")"));
  }
  return found;
}

}  // namespace carrel::testing
