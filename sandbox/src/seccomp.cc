// A syscall policy as a BPF program, and loading it.
//
// The program: the architecture, then a binary search over ranges of call numbers that share a fate, then for calls
// with conditions a chain of comparisons. It looks at nothing but number and architecture where no condition is, so
// that the kernel can decide most calls from its cache without running it (seccomp_cache_prepare).
#include "sandbox/seccomp.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstddef>
#include <map>

namespace carrel::sandbox {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
constexpr uint32_t kX32Bit = 0x40000000;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "say what this architecture is called"
#endif
static_assert(std::endian::native == std::endian::little, "the words of an argument would be the other way round");

// What the kernel sees of syscall(-1): no call, and not one of another ABI.
constexpr uint32_t kNoCall = 0xffffffff;

uint32_t ReturnValue(const SyscallAction& action) {
  switch (action.kind) {
    case SyscallAction::Kind::kAllow:
      return SECCOMP_RET_ALLOW;
    case SyscallAction::Kind::kErrno:
      return SECCOMP_RET_ERRNO | (static_cast<uint32_t>(action.error) & SECCOMP_RET_DATA);
    case SyscallAction::Kind::kKill:
      break;
  }
  return SECCOMP_RET_KILL_PROCESS;
}

// The calls from `first` to before the next range's.
struct Range {
  uint32_t first = 0;
  std::vector<const SyscallRule*> rules;  // with conditions; then `action` when none applies
  SyscallAction action;
};

bool SameFate(const Range& a, const Range& b) {
  return a.rules.empty() && b.rules.empty() && ReturnValue(a.action) == ReturnValue(b.action);
}

std::vector<Range> RangesOf(const SyscallPolicy& policy) {
  std::map<uint32_t, std::vector<const SyscallRule*>> by_number;
  for (const SyscallRule& rule : policy.rules) {
    if (rule.number >= 0) by_number[static_cast<uint32_t>(rule.number)].push_back(&rule);
  }
  std::vector<Range> ranges;
  const auto add = [&ranges](Range range) {
    // A range that begins where the one before it ends it at once: that one was the empty gap between two neighbours.
    if (!ranges.empty() && ranges.back().first == range.first) ranges.pop_back();
    if (ranges.empty() || !SameFate(ranges.back(), range)) ranges.push_back(std::move(range));
  };
  add(Range{.first = 0, .action = policy.otherwise});
  for (auto& [number, rules] : by_number) {
    Range range{.first = number, .action = policy.otherwise};
    for (const SyscallRule* rule : rules) {
      if (rule->conditions.empty()) {
        range.action = rule->action;
        break;
      }
      range.rules.push_back(rule);
    }
    add(std::move(range));
    add(Range{.first = number + 1, .action = policy.otherwise});
  }
  return ranges;
}

class Assembler final {
 public:
  void Statement(uint16_t code, uint32_t value) { program_.push_back(sock_filter BPF_STMT(code, value)); }
  void Jump(uint16_t code, uint32_t value, uint8_t when_true, uint8_t when_false) {
    program_.push_back(sock_filter BPF_JUMP(code, value, when_true, when_false));
  }
  void Load(size_t offset) { Statement(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)); }
  void Return(uint32_t value) { Statement(BPF_RET | BPF_K, value); }

  // Binary search; expects the number in the accumulator.
  void Search(std::span<const Range> ranges) {
    if (ranges.size() == 1) {
      Fate(ranges.front());
      return;
    }
    const size_t middle = ranges.size() / 2;
    Jump(BPF_JMP | BPF_JGE | BPF_K, ranges[middle].first, 0, 1);
    const size_t to_right = program_.size();
    Statement(BPF_JMP | BPF_JA, 0);
    Search(ranges.subspan(0, middle));
    program_[to_right].k = static_cast<uint32_t>(program_.size() - to_right - 1);
    Search(ranges.subspan(middle));
  }

  std::vector<sock_filter> Take() { return std::move(program_); }

 private:
  void Fate(const Range& range) {
    for (const SyscallRule* rule : range.rules) Conditional(*rule);
    Return(ReturnValue(range.action));
  }

  void Conditional(const SyscallRule& rule) {
    // Places that leave the rule when a condition fails, with the branch that does.
    std::vector<std::pair<size_t, bool>> exits;
    for (const SyscallCondition& condition : rule.conditions) Compare(condition, exits);
    Return(ReturnValue(rule.action));
    for (const auto& [place, when_true] : exits) {
      const auto distance = static_cast<uint8_t>(program_.size() - place - 1);
      (when_true ? program_[place].jt : program_[place].jf) = distance;
    }
  }

  void Compare(const SyscallCondition& condition, std::vector<std::pair<size_t, bool>>& exits) {
    const size_t low = offsetof(seccomp_data, args) + condition.argument * sizeof(uint64_t);
    LoadMasked(low, static_cast<uint32_t>(condition.mask));
    if (condition.low_word) {
      exits.emplace_back(program_.size(), !condition.equal);
      Jump(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(condition.value), 0, 0);
      return;
    }
    // Equal: both words must be. Not equal: when the low words differ, the high ones (a load, a mask when there is one,
    // a comparison) are skipped.
    const size_t low_place = program_.size();
    Jump(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(condition.value), 0, 0);
    LoadMasked(low + sizeof(uint32_t), static_cast<uint32_t>(condition.mask >> 32));
    const size_t high_place = program_.size();
    Jump(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(condition.value >> 32), 0, 0);
    if (condition.equal) {
      exits.emplace_back(low_place, false);
    } else {
      program_[low_place].jf = static_cast<uint8_t>(high_place - low_place);
    }
    exits.emplace_back(high_place, !condition.equal);
  }

  void LoadMasked(size_t offset, uint32_t mask) {
    Load(offset);
    if (mask != ~uint32_t{0}) Statement(BPF_ALU | BPF_AND | BPF_K, mask);
  }

  std::vector<sock_filter> program_;
};

}  // namespace

absl::StatusOr<std::vector<sock_filter>> CompileSyscallPolicy(const SyscallPolicy& policy) {
  // A rule's code must stay within a conditional jump's reach (255); six conditions take 48 instructions at most.
  for (const SyscallRule& rule : policy.rules) {
    if (rule.conditions.size() > 16) return absl::ResourceExhaustedError("more than 16 conditions in one rule");
  }
  Assembler assembler;
  assembler.Load(offsetof(seccomp_data, arch));
  assembler.Jump(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0);
  assembler.Return(SECCOMP_RET_KILL_PROCESS);
  assembler.Load(offsetof(seccomp_data, nr));
#if defined(__x86_64__)
  assembler.Jump(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 0, 3);
  assembler.Jump(BPF_JMP | BPF_JEQ | BPF_K, kNoCall, 1, 0);
  assembler.Return(SECCOMP_RET_KILL_PROCESS);
  assembler.Return(ReturnValue(policy.otherwise));
#endif
  const std::vector<Range> ranges = RangesOf(policy);
  assembler.Search(ranges);
  std::vector<sock_filter> program = assembler.Take();
  if (program.size() > BPF_MAXINSNS) return absl::ResourceExhaustedError("the filter is longer than the kernel takes");
  return program;
}

int LoadFilter(std::span<const sock_filter> program) noexcept {
  const sock_fprog loaded{.len = static_cast<unsigned short>(program.size()),
                          .filter = const_cast<sock_filter*>(program.data())};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &loaded) == 0 ? 0 : errno;
}

}  // namespace carrel::sandbox
