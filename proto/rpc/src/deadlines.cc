#include "deadlines.h"

#include "absl/time/clock.h"

namespace carrel::rpc {
namespace {

// Without a call it looks so often whether there is one: it need not be woken for each that begins.
constexpr absl::Duration kIdleWake = absl::Minutes(1);

}  // namespace

CallDeadlines::CallDeadlines() : thread_([this] { Run(); }) {}

CallDeadlines::~CallDeadlines() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

CallDeadlines::Ticket CallDeadlines::Add(absl::Time deadline, grpc::ServerContextBase* context) {
  const std::lock_guard lock(mutex_);
  Ticket ticket(deadline, next_++);
  calls_.emplace(ticket, context);
  if (deadline < wakes_at_) changed_.notify_all();
  return ticket;
}

void CallDeadlines::Remove(const Ticket& ticket) {
  const std::lock_guard lock(mutex_);
  calls_.erase(ticket);
}

void CallDeadlines::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const absl::Time now = absl::Now();
    const auto first = calls_.begin();
    wakes_at_ = first == calls_.end() ? now + kIdleWake : first->first.first;
    if (now < wakes_at_) {
      changed_.wait_until(lock, absl::ToChronoTime(wakes_at_));
      continue;
    }
    // Under the lock, so that Remove (and with it the end of the context) waits.
    first->second->TryCancel();
    calls_.erase(first);
  }
}

}  // namespace carrel::rpc
