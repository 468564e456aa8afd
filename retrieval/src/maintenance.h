// When the library is tidied: every minute, and soon after something was deleted.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/status/status.h"

namespace carrel::retrieval {

// What is to be done that the records do not say.
struct MaintenanceWork {
  bool orphans = false;  // contents may be without a document
};

// Thread-safe. Rounds may overlap with one that somebody runs himself.
class Maintenance final {
 public:
  // Called from a thread of this, from Start to End.
  using Round = std::function<absl::Status(const MaintenanceWork& work)>;
  explicit Maintenance(Round round) : round_(std::move(round)) {}
  ~Maintenance() { End(); }
  Maintenance(const Maintenance&) = delete;
  Maintenance& operator=(const Maintenance&) = delete;

  void Start();
  // Waits for the round at hand, which should look at ending() now and then.
  void End();
  // There is something to do: soon.
  void Need(const MaintenanceWork& work);
  // A round from the caller's thread. What a round that failed was to do is with the next one.
  [[nodiscard]] absl::Status RunNow();
  [[nodiscard]] bool ending();

 private:
  void Work();

  const Round round_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ending_ = false;
  bool soon_ = false;
  MaintenanceWork due_;
  std::thread thread_;
};

}  // namespace carrel::retrieval
