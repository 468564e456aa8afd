#include "deadlines.h"

#include "absl/time/clock.h"

namespace carrel::rpc {

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
  if (calls_.begin()->first == ticket) changed_.notify_all();
  return ticket;
}

void CallDeadlines::Remove(const Ticket& ticket) {
  const std::lock_guard lock(mutex_);
  calls_.erase(ticket);
}

void CallDeadlines::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (calls_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const auto first = calls_.begin();
    const absl::Time deadline = first->first.first;
    if (absl::Now() < deadline) {
      changed_.wait_until(lock, absl::ToChronoTime(deadline));
      continue;
    }
    // Under the lock, so that Remove (and with it the end of the context) waits.
    first->second->TryCancel();
    calls_.erase(first);
  }
}

}  // namespace carrel::rpc
