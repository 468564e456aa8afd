// A jail's namespaces, mounts and identity, tried once in a child.
#pragma once

#include <cstdint>
#include <string_view>

namespace carrel::sandbox {

// How far it got, in this order.
enum class TrialStage : int32_t {
  kFork,
  kUserNamespace,
  kUidMap,
  kMountNamespace,
  kPidNamespace,
  kNetNamespace,
  kIpcNamespace,
  kUtsNamespace,
  kCgroupNamespace,
  kPrivate,
  kTmpfs,
  kBind,
  kReadOnly,
  kProc,
  kPivot,
  kIdentity,
  kDone,
};

struct TrialResult {
  TrialStage stage = TrialStage::kFork;  // where it failed; kDone: it did not
  int error = 0;
};

struct TrialOptions {
  // As the tier `full` does it, with a range of uids mapped from outside; else with our own uid only.
  bool uid_range = false;
  // Not where every policy does without one.
  bool private_proc = true;
};
[[nodiscard]] TrialResult TryJail(const TrialOptions& options);

// "mounting /proc".
[[nodiscard]] std::string_view TrialStageName(TrialStage stage);

}  // namespace carrel::sandbox
