// The sessions that nobody has asked for yet: an init in its namespaces and mounts, with the policy's default limits.
// Who asks for a session of a zygote gets one, and waits for the fork alone.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sandbox/base/message_socket.h"
#include "session_keeper.h"

namespace carrel::sandbox {
namespace {

// Per policy. One is taken, the other bridges the making of the next.
constexpr size_t kSparesMax = 2;

}  // namespace

Session* SessionKeeper::FindSpare(uint32_t policy, const JailLimits& limits) {
  for (auto& [id, session] : sessions_) {
    if (session->state != Session::State::kSpare || session->policy != policy || !session->ready) continue;
    // Its file systems stand. What else is limited can still be set.
    const JailLimits& made = session->limits;
    if (made.workspace_bytes == limits.workspace_bytes && made.workspace_files == limits.workspace_files &&
        made.tmp_bytes == limits.tmp_bytes) {
      return session.get();
    }
  }
  return nullptr;
}

absl::Status SessionKeeper::Adopt(Session* spare, const JailLimits& limits, std::vector<UniqueFd> fds) {
  spare->state = Session::State::kStarting;
  spare->created = absl::Now();
  spare->times = {};
  const bool as_made = spare->limits == limits;
  spare->limits = limits;
  spare->rlimits = RlimitsFor(limits, family_.cgroups != nullptr);
  // It was made a while ago. What cannot be found now could be neither changed nor removed.
  if (spare->cgroup && !spare->cgroup->IsThere()) {
    return absl::UnavailableError("cgroup: the group of the session that was kept ready is gone");
  }
  const int porter = fds[kCreatePorter].get();
  if (absl::Status s = SendMessage(spare->init_socket.get(), BytesOf(InitMessage{.kind = InitMessageKind::kAdopt}),
                                   std::span(&porter, 1));
      !s.ok()) {
    return absl::UnavailableError("the session's init died while it was made");
  }
  // Before the zygote may fork: nothing of the session ever runs under other limits than its own.
  if (!as_made && spare->cgroup) {
    if (absl::Status s = spare->cgroup->SetLimits(limits); !s.ok()) {
      return absl::UnavailableError(absl::StrCat("cgroup: ", s.message()));
    }
    spare->times.cgroup_us = MicrosSince(spare->created);
  }
  for (size_t i = kCreateStdin; i < fds.size(); ++i) spare->standard.push_back(std::move(fds[i]));
  ForkIfPossible(spare);
  return absl::OkStatus();
}

void SessionKeeper::MakeSpares(absl::Time now) {
  if (!NurseryTakesOrders()) {
    spares_at_ = now + kSparePause;
    return;
  }
  spares_at_ = absl::InfiniteFuture();  // until one is taken, or a zygote gets ready
  for (uint32_t policy = 0; policy < family_.policies.size(); ++policy) {
    if (!zygotes_.ready(policy)) continue;
    const auto is_spare = [policy](const auto& entry) {
      return entry.second->policy == policy && entry.second->state == Session::State::kSpare;
    };
    const auto have = static_cast<size_t>(std::count_if(sessions_.begin(), sessions_.end(), is_spare));
    if (have >= kSparesMax || sessions_.size() >= kSessionsMax / 2) continue;
    Session* spare = Add(policy, family_.policies[policy].defaults);
    if (absl::Status s = Begin(spare, {}); !s.ok()) {
      Kill(spare);
      sessions_.erase(spare->id);
      spares_at_ = now + kSpareFailurePause;
      return;
    }
    if (have + 1 < kSparesMax) spares_at_ = now + kSparePause;
  }
}

}  // namespace carrel::sandbox
