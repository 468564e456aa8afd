#include "maintenance.h"

#include <utility>

#include "absl/time/time.h"

namespace carrel::retrieval {
namespace {

constexpr absl::Duration kEvery = absl::Minutes(1);
// Deletions come in groups: one round for all of them.
constexpr absl::Duration kSoon = absl::Milliseconds(500);

}  // namespace

void Maintenance::Start() {
  thread_ = std::thread([this] { Work(); });
}

void Maintenance::End() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Maintenance::Need(const MaintenanceWork& work) {
  {
    const std::lock_guard lock(mutex_);
    due_.orphans = due_.orphans || work.orphans;
    soon_ = true;
  }
  wake_.notify_all();
}

absl::Status Maintenance::RunNow() {
  MaintenanceWork work;
  {
    const std::lock_guard lock(mutex_);
    work = std::exchange(due_, {});
  }
  absl::Status status = round_(work);
  if (!status.ok()) {
    const std::lock_guard lock(mutex_);
    due_.orphans = due_.orphans || work.orphans;
  }
  return status;
}

bool Maintenance::ending() {
  const std::lock_guard lock(mutex_);
  return ending_;
}

void Maintenance::Work() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, absl::ToChronoMilliseconds(kEvery), [&] { return ending_ || soon_; });
      wake_.wait_for(lock, absl::ToChronoMilliseconds(kSoon), [&] { return ending_; });
      if (ending_) return;
      soon_ = false;
    }
    // What fails now is tried again with the next round; the disk space waits.
    RunNow().IgnoreError();
  }
}

}  // namespace carrel::retrieval
