// The part of sandbox/enter.h that is done before any fork: the plan, and its form in memory.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "confined_policy.h"
#include "sandbox/base/error.h"
#include "sandbox/enter.h"
#include "sandbox/seccomp.h"
#include "uncounted_memory.h"

namespace carrel::sandbox {
namespace {

// The memory file: this header, the filter's instructions, then for each rule a flags byte and the path with its NUL.
// Written and read on one machine by one version.
struct PlanHeader {
  uint32_t magic = 0x314c5043;  // "CPL1"
  uint32_t instructions = 0;
  uint32_t rules = 0;
};
constexpr char kWriteFlag = 1;
constexpr char kExecuteFlag = 2;
constexpr size_t kPlanBytesMax = 4 << 20;

}  // namespace

absl::StatusOr<EnterPlan> EnterPlan::FromPolicy(const Policy& policy) {
  EnterPlan plan;
  absl::StatusOr<SyscallPolicy> syscalls =
      policy.memory_is_watched ? RefuseUncountedMemory(policy.syscalls) : policy.syscalls;
  if (!syscalls.ok()) return syscalls.status();
  if (policy.is_confined) {
    syscalls = RefuseSharedKernel(*syscalls);
    if (!syscalls.ok()) return syscalls.status();
  }
  auto filter = CompileSyscallPolicy(*syscalls);
  if (!filter.ok()) return filter.status();
  plan.filter_ = *std::move(filter);
  plan.stored_ = std::make_unique<std::vector<StoredRule>>();
  // Where it is all that hides the host's files, its absence is an error of each session and no silence.
  if (policy.is_confined || LandlockAbi() > 0) {
    for (const PathRule& rule : policy.landlock) plan.stored_->push_back({rule.path, rule.write, rule.execute});
  }
  plan.PointRules();
  return plan;
}

absl::StatusOr<UniqueFd> EnterPlan::ToMemfd() const {
  std::string bytes;
  const PlanHeader header{.instructions = static_cast<uint32_t>(filter_.size()),
                          .rules = static_cast<uint32_t>(stored_->size())};
  bytes.append(reinterpret_cast<const char*>(&header), sizeof header);
  bytes.append(reinterpret_cast<const char*>(filter_.data()), filter_.size() * sizeof(sock_filter));
  for (const StoredRule& rule : *stored_) {
    bytes.push_back(static_cast<char>((rule.write ? kWriteFlag : 0) | (rule.execute ? kExecuteFlag : 0)));
    bytes.append(rule.path.c_str(), rule.path.size() + 1);
  }
  UniqueFd fd(::memfd_create("carrel-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return ErrnoStatus(errno, "memfd_create");
  if (::write(fd.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
    return ErrnoStatus(errno, "write the plan");
  }
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
    return ErrnoStatus(errno, "seal the plan");
  }
  return fd;
}

absl::StatusOr<EnterPlan> EnterPlan::FromMemfd(int fd) {
  struct stat about {};
  if (::fstat(fd, &about) != 0) return ErrnoStatus(errno, "fstat the plan");
  if (about.st_size < static_cast<off_t>(sizeof(PlanHeader)) || about.st_size > static_cast<off_t>(kPlanBytesMax)) {
    return absl::DataLossError("the plan has a wrong size");
  }
  std::string bytes(static_cast<size_t>(about.st_size), '\0');
  if (::pread(fd, bytes.data(), bytes.size(), 0) != about.st_size) return absl::DataLossError("the plan is cut off");
  PlanHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  const size_t filter_bytes = size_t{header.instructions} * sizeof(sock_filter);
  if (header.magic != PlanHeader{}.magic || filter_bytes > bytes.size() - sizeof header) {
    return absl::DataLossError("not a plan");
  }
  EnterPlan plan;
  plan.filter_.resize(header.instructions);
  std::memcpy(plan.filter_.data(), bytes.data() + sizeof header, filter_bytes);
  plan.stored_ = std::make_unique<std::vector<StoredRule>>();
  size_t at = sizeof header + filter_bytes;
  for (uint32_t i = 0; i < header.rules; ++i) {
    const size_t end = at < bytes.size() ? bytes.find('\0', at + 1) : std::string::npos;
    if (end == std::string::npos) return absl::DataLossError("the plan's rules are cut off");
    const char flags = bytes[at];
    plan.stored_->push_back(
        {bytes.substr(at + 1, end - at - 1), (flags & kWriteFlag) != 0, (flags & kExecuteFlag) != 0});
    at = end + 1;
  }
  plan.PointRules();
  return plan;
}

void EnterPlan::PointRules() {
  rules_.clear();
  for (const StoredRule& rule : *stored_) {
    rules_.push_back({.path = rule.path.c_str(), .write = rule.write, .execute = rule.execute});
  }
}

}  // namespace carrel::sandbox
