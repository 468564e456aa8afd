#include "work_pool.h"

#include <algorithm>
#include <chrono>

#include "absl/time/clock.h"

namespace carrel::gateway {

WorkPool::WorkPool(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Loop(); });
}

WorkPool::~WorkPool() { Stop(); }

void WorkPool::Post(Work work) {
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_) {
      queue_.push_back(std::move(work));
      changed_.notify_one();
      return;
    }
  }
  std::move(work)();
}

WorkPool::TimerId WorkPool::PostAfter(absl::Duration delay, Work work) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return 0;
  const TimerId id = next_timer_++;
  const absl::Time due = absl::Now() + std::max(delay, absl::ZeroDuration());
  const bool earliest = timers_.empty() || due < timers_.begin()->first.first;
  timers_.emplace(std::pair(due, id), std::move(work));
  due_.emplace(id, due);
  if (earliest) changed_.notify_one();
  return id;
}

void WorkPool::CancelTimer(TimerId id) {
  const std::lock_guard lock(mutex_);
  const auto due = due_.find(id);
  if (due == due_.end()) return;
  timers_.erase({due->second, id});
  due_.erase(due);
}

void WorkPool::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    timers_.clear();
    due_.clear();
    changed_.notify_all();
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void WorkPool::Loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    const absl::Time now = absl::Now();
    while (!timers_.empty() && timers_.begin()->first.first <= now) {
      queue_.push_back(std::move(timers_.begin()->second));
      due_.erase(timers_.begin()->first.second);
      timers_.erase(timers_.begin());
    }
    if (!queue_.empty()) {
      Work work = std::move(queue_.front());
      queue_.pop_front();
      if (!queue_.empty()) changed_.notify_one();
      lock.unlock();
      std::move(work)();
      work = nullptr;
      lock.lock();
    } else if (stopping_) {
      return;
    } else if (timers_.empty()) {
      changed_.wait(lock);
    } else {
      changed_.wait_for(lock, absl::ToChronoNanoseconds(timers_.begin()->first.first - now));
    }
  }
}

}  // namespace carrel::gateway
