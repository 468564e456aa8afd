// Cancels calls that came without a deadline and run for too long.
#pragma once

#include <grpcpp/server_context.h>

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/time/time.h"

namespace carrel::rpc {

// Thread-safe. Its one thread sleeps until the earliest deadline.
class CallDeadlines final {
 public:
  using Ticket = std::pair<absl::Time, uint64_t>;

  CallDeadlines();
  CallDeadlines(const CallDeadlines&) = delete;
  CallDeadlines& operator=(const CallDeadlines&) = delete;
  ~CallDeadlines();

  // `context` must live until Remove(ticket) has returned.
  [[nodiscard]] Ticket Add(absl::Time deadline, grpc::ServerContextBase* context);
  // Unknown tickets (those whose call was cancelled) are fine.
  void Remove(const Ticket& ticket);

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Ticket, grpc::ServerContextBase*> calls_;
  uint64_t next_ = 0;
  absl::Time wakes_at_ = absl::InfinitePast();  // the thread, by itself
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace carrel::rpc
