// Which rules of a system call policy were needed by what was watched: a rule that allows what nothing calls must go,
// or get something that shows what it is for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sandbox/seccomp.h"

namespace carrel::testing {

class SyscallNeeds final {
 public:
  explicit SyscallNeeds(sandbox::SyscallPolicy policy) : policy_(std::move(policy)) {}

  // A call that was made (SyscallWatch). The first rule that holds for it decides, as in the kernel.
  void Call(int number, const std::array<uint64_t, 6>& arguments);

  // The allowances that no call has met and that `known` does not have itself, one sentence each.
  [[nodiscard]] std::vector<std::string> Unneeded(const sandbox::SyscallPolicy& known = {}) const;

 private:
  const sandbox::SyscallPolicy policy_;
  std::set<size_t> met_;  // by place in the policy
};

}  // namespace carrel::testing
