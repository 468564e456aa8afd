// Tells what the supervisor does in a thread of its own: who does not read what `serve` says must not stop it from
// watching.
#pragma once

#include <functional>
#include <memory>

#include "absl/time/time.h"
#include "cli/supervisor.h"

namespace carrel::cli {

class EventTeller final {
 public:
  // Events that wait to be told; the oldest are lost first.
  static constexpr size_t kWaitingMax = 1000;

  // `tell` is called in the thread, one event after the other, and may block.
  explicit EventTeller(std::function<void(const SupervisorEvent&)> tell);
  EventTeller(const EventTeller&) = delete;
  EventTeller& operator=(const EventTeller&) = delete;
  ~EventTeller();

  // Never blocks. The program's name must live until the event is told.
  void Push(const SupervisorEvent& event);
  // Waits until all is told. false: not within `patience`; then the thread is still in `tell`, and stays there: whoever
  // calls must end the process without using what `tell` uses.
  [[nodiscard]] bool Finish(absl::Duration patience);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace carrel::cli
