#include "cli/event_teller.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace carrel::cli {

// Shared with the thread, which may outlive the teller.
struct EventTeller::State {
  std::function<void(const SupervisorEvent&)> tell;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<SupervisorEvent> waiting;
  bool telling = false;
  bool ended = false;

  void Run() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return ended || !waiting.empty(); });
      if (waiting.empty()) return;
      const SupervisorEvent event = std::move(waiting.front());
      waiting.pop_front();
      telling = true;
      lock.unlock();
      tell(event);
      lock.lock();
      telling = false;
      changed.notify_all();
    }
  }
};

EventTeller::EventTeller(std::function<void(const SupervisorEvent&)> tell) : state_(std::make_shared<State>()) {
  state_->tell = std::move(tell);
  std::thread([state = state_] { state->Run(); }).detach();
}

EventTeller::~EventTeller() {
  const std::lock_guard lock(state_->mutex);
  state_->ended = true;
  state_->changed.notify_all();
}

void EventTeller::Push(const SupervisorEvent& event) {
  const std::lock_guard lock(state_->mutex);
  if (state_->waiting.size() >= kWaitingMax) state_->waiting.pop_front();
  state_->waiting.push_back(event);
  state_->changed.notify_all();
}

bool EventTeller::Finish(absl::Duration patience) {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, absl::ToChronoMilliseconds(patience),
                                  [this] { return state_->waiting.empty() && !state_->telling; });
}

}  // namespace carrel::cli
