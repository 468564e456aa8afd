// Reading a syscall policy, and what it means.
#include <set>
#include <string>
#include <utility>

#include "sandbox/seccomp.h"
#include "seccomp_constants.h"
#include "text.h"

namespace carrel::sandbox {
namespace {

constexpr uint64_t kLowWord = 0xffffffff;

using WordList = std::vector<std::string_view>;

// Consumes the first word.
std::string_view Take(WordList& words) {
  if (words.empty()) return {};
  const std::string_view first = words.front();
  words.erase(words.begin());
  return first;
}

// "allow", "kill", "errno NAME".
absl::StatusOr<SyscallAction> TakeAction(WordList& words) {
  const std::string_view verb = Take(words);
  if (verb == "allow") return SyscallAction{SyscallAction::Kind::kAllow, 0};
  if (verb == "kill") return SyscallAction{SyscallAction::Kind::kKill, 0};
  if (verb != "errno") {
    return absl::InvalidArgumentError(Concat("\"", verb, "\" is not default, allow, errno or kill"));
  }
  const std::string_view name = Take(words);
  const std::optional<int> error = ErrnoByName(name);
  if (!error) return absl::InvalidArgumentError(Concat("\"", name, "\" is not an error that we know"));
  return SyscallAction{SyscallAction::Kind::kErrno, *error};
}

absl::StatusOr<uint64_t> TakeValue(WordList& words, bool low_word) {
  const std::string_view text = Take(words);
  const std::optional<uint64_t> value = SyscallConstant(text);
  if (!value) return absl::InvalidArgumentError(Concat("\"", text, "\" is not a number or a constant we know"));
  if (!low_word) return *value;
  if (*value == ~uint64_t{0}) return kLowWord;
  if (*value > kLowWord) return absl::InvalidArgumentError(Concat("\"", text, "\" does not fit into .lo"));
  return *value;
}

// "a1.lo & MASK == VALUE".
absl::StatusOr<SyscallCondition> TakeCondition(WordList& words) {
  SyscallCondition condition;
  const std::string_view whole = Take(words);
  std::string_view argument = whole;
  if (argument.ends_with(".lo")) {
    condition.low_word = true;
    condition.mask = kLowWord;
    argument.remove_suffix(3);
  }
  if (argument.size() != 2 || argument[0] != 'a' || argument[1] < '0' || argument[1] > '5') {
    return absl::InvalidArgumentError(Concat("\"", whole, "\" is not a0 to a5, or a0.lo to a5.lo"));
  }
  condition.argument = static_cast<uint32_t>(argument[1] - '0');
  std::string_view comparison = Take(words);
  if (comparison == "&") {
    absl::StatusOr<uint64_t> mask = TakeValue(words, condition.low_word);
    if (!mask.ok()) return mask.status();
    condition.mask = *mask;
    comparison = Take(words);
  }
  if (comparison != "==" && comparison != "!=") {
    return absl::InvalidArgumentError(Concat("\"", comparison, "\" is not == or !="));
  }
  condition.equal = comparison == "==";
  absl::StatusOr<uint64_t> value = TakeValue(words, condition.low_word);
  if (!value.ok()) return value.status();
  condition.value = *value;
  if ((condition.value & ~condition.mask) != 0) {
    return absl::InvalidArgumentError("the value has bits that the mask takes away: it can never be equal");
  }
  return condition;
}

absl::StatusOr<SyscallRule> ParseRule(std::string_view text) {
  WordList words = Words(text);
  SyscallRule rule;
  absl::StatusOr<SyscallAction> action = TakeAction(words);
  if (!action.ok()) return action.status();
  rule.action = *action;
  rule.name = std::string(Take(words));
  const std::optional<int> number = SyscallNumber(rule.name);
  if (!number) return absl::InvalidArgumentError(Concat("there is no system call \"", rule.name, "\""));
  rule.number = *number;
  if (words.empty()) return rule;
  if (Take(words) != "if") return absl::InvalidArgumentError("after the call: \"if\", or the reason after #");
  while (true) {
    absl::StatusOr<SyscallCondition> condition = TakeCondition(words);
    if (!condition.ok()) return condition.status();
    rule.conditions.push_back(*condition);
    if (words.empty()) return rule;
    if (Take(words) != "and") return absl::InvalidArgumentError("after a condition: \"and\", or the reason after #");
  }
}

bool Holds(const SyscallCondition& condition, std::span<const uint64_t, 6> args) {
  return ((args[condition.argument] & condition.mask) == condition.value) == condition.equal;
}

// Rules with their conditions, to find the same one twice.
std::string Signature(std::string_view text) {
  std::string signature;
  for (const std::string_view word : Words(text)) signature += Concat(word, " ");
  return signature;
}

class Parser final {
 public:
  explicit Parser(std::string_view name) { policy_.name = std::string(name); }

  absl::Status Line(std::string_view text) {
    const size_t hash = text.find('#');
    const std::string_view rule = Strip(text.substr(0, hash));
    if (rule.empty()) return absl::OkStatus();
    const std::string_view reason = hash == std::string_view::npos ? std::string_view() : Strip(text.substr(hash + 1));
    if (reason.empty()) return absl::InvalidArgumentError("no reason: every rule ends with # and why it is there");
    return rule.starts_with("default") ? Default(rule) : Rule(rule, reason);
  }

  void set_line(int line) { line_ = line; }
  [[nodiscard]] bool has_default() const { return has_default_; }
  SyscallPolicy Take() { return std::move(policy_); }

 private:
  absl::Status Default(std::string_view text) {
    if (has_default_) return absl::InvalidArgumentError("a second default");
    WordList words = Words(text);
    if (sandbox::Take(words) != "default") return absl::InvalidArgumentError("\"default\" was meant?");
    absl::StatusOr<SyscallAction> action = TakeAction(words);
    if (!action.ok()) return action.status();
    if (action->kind == SyscallAction::Kind::kAllow) {
      return absl::InvalidArgumentError("a policy lists what is allowed: the default cannot be allow");
    }
    if (!words.empty()) return absl::InvalidArgumentError("words after the default's action");
    policy_.otherwise = *action;
    has_default_ = true;
    return absl::OkStatus();
  }

  absl::Status Rule(std::string_view text, std::string_view reason) {
    absl::StatusOr<SyscallRule> rule = ParseRule(text);
    if (!rule.ok()) return rule.status();
    if (!seen_.insert(Signature(text)).second) return absl::InvalidArgumentError("the same rule twice");
    if (decided_.contains(rule->name)) {
      return absl::InvalidArgumentError(
          Concat("an earlier rule for ", rule->name, " has no condition: this one can never apply"));
    }
    if (rule->conditions.empty()) decided_.insert(rule->name);
    rule->reason = std::string(reason);
    rule->line = line_;
    policy_.rules.push_back(*std::move(rule));
    return absl::OkStatus();
  }

  SyscallPolicy policy_;
  std::set<std::string> seen_;
  std::set<std::string> decided_;  // calls with a rule that always applies
  int line_ = 0;
  bool has_default_ = false;
};

}  // namespace

absl::StatusOr<SyscallPolicy> ParseSyscallPolicy(std::string_view text, std::string_view name) {
  Parser parser(name);
  int number = 0;
  for (const std::string_view line : Split(text, '\n')) {
    parser.set_line(++number);
    if (const absl::Status status = parser.Line(line); !status.ok()) {
      return absl::InvalidArgumentError(Concat(name, ":", number, ": ", status.message()));
    }
  }
  if (!parser.has_default()) return absl::InvalidArgumentError(Concat(name, ":", number, ": no default"));
  return parser.Take();
}

SyscallAction DecideSyscall(const SyscallPolicy& policy, int number, std::span<const uint64_t, 6> args) {
  for (const SyscallRule& rule : policy.rules) {
    if (rule.number != number || number < 0) continue;
    bool all = true;
    for (const SyscallCondition& condition : rule.conditions) all = all && Holds(condition, args);
    if (all) return rule.action;
  }
  return policy.otherwise;
}

}  // namespace carrel::sandbox
