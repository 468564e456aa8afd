// Makes, watches and ends the sessions of one server: the middle between the server's socket, the nursery, the zygotes
// and the inits. All of it in the jailer's one thread.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "nursery_protocol.h"
#include "sandbox/base/event_loop.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/cgroup.h"
#include "sandbox/enter.h"
#include "sandbox/jailer_protocol.h"
#include "sandbox/policy.h"
#include "session.h"
#include "zygote_keeper.h"

namespace carrel::sandbox {

inline constexpr size_t kSessionsMax = 2048;
// Who has just asked for a session comes first: spares are made a moment later. And what failed is not tried again at
// once.
inline constexpr absl::Duration kSparePause = absl::Milliseconds(10);
inline constexpr absl::Duration kSpareFailurePause = absl::Seconds(1);

// At least 1, for 0 means that there was no such step.
[[nodiscard]] inline uint32_t MicrosSince(absl::Time time) {
  return static_cast<uint32_t>(std::max<int64_t>(1, absl::ToInt64Microseconds(absl::Now() - time)));
}

class SessionKeeper final {
 public:
  struct Family {
    const std::vector<Policy>& policies;
    const std::vector<EnterPlan>& plans;
    CgroupTree* cgroups = nullptr;  // none: sessions are watched
    bool ids_differ = false;        // a uid per session
    uint64_t zygote_forks_max = 0;  // then it is replaced; 0: never
    bool confined = false;          // the tier: no namespaces, one session at a time
    pid_t nursery_pid = -1;
    int disk = -1;  // the disk keeper's socket; -1: workspaces are tmpfs
  };
  // `stop` is called when the server or the nursery cannot be spoken to any more.
  SessionKeeper(EventLoop* loop, UniqueFd server, int nursery, const Family& family,
                std::function<void(const std::string&)> stop);
  SessionKeeper(const SessionKeeper&) = delete;
  SessionKeeper& operator=(const SessionKeeper&) = delete;
  ~SessionKeeper();

  // Says HELLO with the report, starts the zygotes.
  [[nodiscard]] absl::Status Start(int report);
  // How long the loop may sleep.
  [[nodiscard]] absl::Duration period() const;
  // Time-outs, the watchdog, zygotes to start again, and whether the nursery still answers.
  void Tick(absl::Time now);

 private:
  // From the server.
  void OnServer();
  void OnCreate(const JailerMessage& message, std::vector<UniqueFd> fds);
  void OnDestroy(const JailerMessage& message);
  void OnStats(const JailerMessage& message);
  // From the nursery.
  void OnNursery();
  void OnInitStarted(uint64_t id, UniqueFd pidfd);
  void OnReaped(pid_t pid, int status);
  // From a session's init, its gate and its zygote.
  void OnInit(uint64_t id);
  void OnReady(Session* session, std::vector<UniqueFd> fds);
  void HearInit(Session* session);
  void OnZygote(const ZygoteMessage& message, UniqueFd pidfd);
  void OnZygoteLost(uint32_t policy, uint64_t zygote, bool given_up);
  void OnGate(uint64_t id);
  void OnMainExited(Session* session, int status);
  void OnInitGone(uint64_t id);

  [[nodiscard]] Session* Add(uint32_t policy, const JailLimits& limits);
  [[nodiscard]] absl::Status Begin(Session* session, std::vector<UniqueFd> fds);
  [[nodiscard]] absl::StatusOr<UniqueFd> OrderDisk(const Session& session);
  // A spare that will do for these limits, or null.
  [[nodiscard]] Session* FindSpare(uint32_t policy, const JailLimits& limits);
  [[nodiscard]] absl::Status Adopt(Session* spare, const JailLimits& limits, std::vector<UniqueFd> fds);
  void MakeSpares(absl::Time now);
  // The tier `confined`. false: it is not this request's turn, and it was refused or put in the queue.
  [[nodiscard]] bool TakeTurn(const JailerMessage& message, std::vector<UniqueFd>* fds);
  void CallWaiting();
  void Confine(Session* session);
  // Ends what is left of the session, empties its places. false: not yet; to be called again.
  // Confined, a zygote has become ready: the places are to be as they were before it.
  void ForgetImports();
  [[nodiscard]] bool Sweep(const Session& session);
  void SweepAll();
  void Bury(uint64_t id);
  void ForkIfPossible(Session* session);
  void JoinIfPossible(Session* session);
  void LetGoIfPossible(Session* session);
  void Created(Session* session);
  // Answers CREATE with an error, and ends what there is of the session.
  void Fail(Session* session, const absl::Status& why);
  void Kill(Session* session);
  void Watch(Session* session);
  void Measure(Session* session);
  [[nodiscard]] Session* Find(uint64_t id);
  void AnnouncePolicy(uint32_t policy);
  void Refuse(uint64_t request, const absl::Status& why);
  void SendServer(const JailerMessage& message, std::span<const int> fds = {});
  void FlushServer();
  [[nodiscard]] bool NurseryTakesOrders() const;
  void AskNursery(absl::Time now);
  void PauseServer();
  void ResumeServer();

  EventLoop* loop_;
  UniqueFd server_;
  int nursery_;
  Family family_;
  std::function<void(const std::string&)> stop_;
  ZygoteKeeper zygotes_;
  std::map<uint64_t, std::unique_ptr<Session>> sessions_;
  uint64_t next_session_ = 1;
  std::deque<JailerMessage> unsent_;
  absl::Time spares_at_ = absl::InfinitePast();  // no spare is made before
  bool server_is_paused_ = false;
  bool zygote_is_full_ = false;
  struct Waiting {
    JailerMessage message;
    std::vector<UniqueFd> fds;
  };
  std::optional<Waiting> waiting_;  // the tier `confined`: for a zygote to start, or the last session to be gone
  absl::Time last_tick_ = absl::InfinitePast();
  absl::Time nursery_asked_ = absl::InfinitePast();
  bool nursery_owes_ = false;  // an answer
};

}  // namespace carrel::sandbox
