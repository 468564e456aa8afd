// The nursery: what it says of the processes that it has cloned or reaped, and whether it is there.
#include <csignal>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "descriptors.h"
#include "sandbox/base/message_socket.h"
#include "sandbox/base/process_info.h"
#include "session_errors.h"
#include "session_keeper.h"

namespace carrel::sandbox {
namespace {

// How often the nursery is asked whether it is there, and how long it may leave that unanswered: it clones, which takes
// milliseconds, and must not be taken for dead on a machine that has no memory left.
constexpr absl::Duration kNurseryAskPeriod = absl::Seconds(2);
constexpr absl::Duration kNurseryAnswerMax = absl::Seconds(15);

}  // namespace

bool SessionKeeper::NurseryTakesOrders() const { return IsWritable(nursery_); }

void SessionKeeper::AskNursery(absl::Time now) {
  if (nursery_owes_ && now - nursery_asked_ > kNurseryAnswerMax) {
    return stop_(absl::StrCat("the nursery has not answered for ", absl::FormatDuration(kNurseryAnswerMax)));
  }
  if (nursery_owes_ || now - nursery_asked_ < kNurseryAskPeriod) return;
  nursery_asked_ = now;
  nursery_owes_ = true;
  // With its queue full it owes us an answer all the same: that it makes room.
  if (!NurseryTakesOrders()) return;
  SendMessage(nursery_, BytesOf(NurseryMessage{.kind = NurseryMessageKind::kPing})).IgnoreError();  // its end is told
}

void SessionKeeper::OnNursery() {
  if (server_is_paused_) {
    if (IsWritable(nursery_)) ResumeServer();
    if (!IsReadable(nursery_)) return;  // it only takes orders again
  }
  NurseryMessage message;
  auto received = ReceiveMessage(nursery_, WritableBytesOf(message));
  if (!received.ok() || received->size != sizeof message) return stop_("the nursery closed its socket");
  nursery_owes_ = false;  // whatever it says
  if (message.policy >= family_.policies.size()) return stop_("the nursery broke the protocol");
  switch (message.kind) {
    case NurseryMessageKind::kInitStarted:
    case NurseryMessageKind::kZygoteStarted:
      if (received->fds_lost) {
        if (message.kind == NurseryMessageKind::kZygoteStarted) {
          return zygotes_.OnStartFailed(message.policy, message.zygote, kNoDescriptors);
        }
        if (Session* session = Find(message.session); session != nullptr) {
          // Without its pidfd nobody would hear of its end; it ends when it finds its socket closed.
          Fail(session, absl::ResourceExhaustedError(kNoDescriptors));
          OnInitGone(message.session);
        }
        return;
      }
      if (received->fds.size() != 1) return stop_("the nursery broke the protocol");
      if (message.kind == NurseryMessageKind::kInitStarted) {
        return OnInitStarted(message.session, std::move(received->fds[0]));
      }
      return zygotes_.OnStarted(message.policy, message.zygote, std::move(received->fds[0]));
    case NurseryMessageKind::kFailed:
      if (message.session == 0) {
        return zygotes_.OnStartFailed(message.policy, message.zygote, std::strerror(message.error));
      }
      if (Session* session = Find(message.session); session != nullptr) {
        Fail(session, SetupFailure(message.stage, message.error));
        OnInitGone(message.session);
      }
      return;
    case NurseryMessageKind::kReaped:
      return OnReaped(message.pid, message.status);
    case NurseryMessageKind::kPong:
      return;
    default:
      return stop_("the nursery broke the protocol");
  }
}

void SessionKeeper::OnInitStarted(uint64_t id, UniqueFd pidfd) {
  Session* session = Find(id);
  if (session == nullptr) return;
  session->init_pidfd = std::move(pidfd);
  if (absl::Status s = loop_->Watch(session->init_pidfd.get(), [this, id] { OnInitGone(id); }); !s.ok()) {
    Fail(session, s);
    return OnInitGone(id);
  }
  if (session->state == Session::State::kDying) return SendSignal(session->init_pidfd, SIGKILL);
  auto pid = PidOfPidfd(session->init_pidfd.get());
  if (absl::IsNotFound(pid.status())) return;  // it is dead already, and its pidfd readable
  if (!pid.ok()) return Fail(session, absl::UnavailableError(pid.status().message()));
  session->init_pid = *pid;
  JoinIfPossible(session);
}

void SessionKeeper::OnReaped(pid_t pid, int status) {
  // An orphan of a dead zygote: the nursery took its place as the parent.
  for (auto& [id, session] : sessions_) {
    if (session->main_pid_in_nursery == pid) return OnMainExited(session.get(), status);
  }
}

}  // namespace carrel::sandbox
