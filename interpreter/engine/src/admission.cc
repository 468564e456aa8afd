#include "interpreter/engine/admission.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "absl/time/clock.h"
#include "interpreter/engine/errors.h"
#include "interpreter/engine/text.h"

namespace carrel::interpreter {
namespace {

constexpr auto kCancelPoll = std::chrono::milliseconds(25);
constexpr absl::Duration kRetryDefault = absl::Seconds(5);
constexpr absl::Duration kRetryMin = absl::Milliseconds(200);
constexpr absl::Duration kRetryMax = absl::Seconds(60);

}  // namespace

void Admission::Room::Leave() {
  if (admission_ != nullptr) std::exchange(admission_, nullptr)->Leave(owner_, memory_bytes_);
}

uint64_t Admission::HeldBy(const std::string& owner) const {
  const auto found = held_.find(owner);
  return found == held_.end() ? 0 : found->second;
}

uint64_t Admission::PromisedMax() const {
  const uint64_t percent = std::max<uint64_t>(100, options_.memory_overcommit_percent);
  const uint64_t total = options_.memory_bytes_total_max;
  return total > UINT64_MAX / percent ? UINT64_MAX : total * percent / 100;
}

bool Admission::Fits(const Waiter& waiter) const {
  return sessions_ < options_.sessions_max && HeldBy(*waiter.owner) < options_.sessions_per_owner_max &&
         memory_bytes_ + waiter.memory_bytes <= PromisedMax();
}

std::string Admission::WhyNot(const Waiter& waiter) const {
  const uint64_t held = HeldBy(*waiter.owner);
  if (held >= options_.sessions_per_owner_max) {
    return StrCat("the owner has ", held, " sessions already, the most one may have");
  }
  if (sessions_ >= options_.sessions_max) {
    return StrCat("there are ", sessions_, " sessions already, the most this server has");
  }
  return StrCat("the memory limits of all sessions together would be ", memory_bytes_ + waiter.memory_bytes,
                " bytes, over ", PromisedMax());
}

absl::Duration Admission::RetryAfter() const {
  if (between_leaves_ == absl::ZeroDuration()) return kRetryDefault;
  // By then as many will have left as wait now, and one more.
  return std::clamp(between_leaves_ * static_cast<int64_t>(waiters_.size() + 1), kRetryMin, kRetryMax);
}

absl::StatusOr<Admission::Room> Admission::Enter(const std::string& owner, uint64_t memory_bytes,
                                                 const std::function<bool()>& cancelled) {
  Waiter waiter{.owner = &owner, .memory_bytes = memory_bytes, .arrived = absl::Now()};
  std::unique_lock lock(mutex_);
  if (stopped_) return absl::UnavailableError("the server stops");
  if (memory_bytes > options_.memory_bytes_total_max) {
    return InvalidField("limits.memory_bytes", StrCat(memory_bytes),
                        StrCat("at most ", options_.memory_bytes_total_max,
                               ", which is all that this server has for sessions (memory_bytes_total_max)"));
  }
  if (!Fits(waiter) && options_.wait_max <= absl::ZeroDuration()) return TryLater(WhyNot(waiter), RetryAfter());
  waiters_.push_back(&waiter);
  Grant();
  if (waiter.fate == Waiter::Fate::kWaits && waiters_.size() > options_.waiting_max && !PushOutFor(waiter)) {
    waiters_.remove(&waiter);
    return TryLater(StrCat(WhyNot(waiter), ", and ", waiters_.size(), " wait for room, the most that may"),
                    RetryAfter());
  }
  const absl::Time deadline = waiter.arrived + options_.wait_max;
  bool gave_up = false;
  while (waiter.fate == Waiter::Fate::kWaits && !stopped_ && absl::Now() < deadline) {
    changed_.wait_for(
        lock, std::min<std::chrono::nanoseconds>(kCancelPoll, absl::ToChronoNanoseconds(deadline - absl::Now())));
    gave_up = waiter.fate == Waiter::Fate::kWaits && cancelled && cancelled();
    if (gave_up) break;
  }
  if (waiter.fate == Waiter::Fate::kEntered) return Room(this, owner, memory_bytes);
  if (waiter.fate == Waiter::Fate::kPushedOut) {
    return TryLater(StrCat(WhyNot(waiter), ", and others who have less are waiting for room too"), RetryAfter());
  }
  waiters_.remove(&waiter);
  if (stopped_) return absl::UnavailableError("the server stops");
  Grant();  // room that is too small for him may be enough for those behind him
  if (gave_up) return absl::CancelledError("cancelled while it waited for room");
  return TryLater(StrCat(WhyNot(waiter), ", and none ended within ", absl::FormatDuration(options_.wait_max)),
                  RetryAfter());
}

bool Admission::PushOutFor(const Waiter& newcomer) {
  std::map<std::string, uint64_t> waiting;
  for (const Waiter* waiter : waiters_) ++waiting[*waiter->owner];
  const auto most = std::max_element(waiting.begin(), waiting.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  if (waiting[*newcomer.owner] >= most->second) return false;
  const auto youngest = std::find_if(waiters_.rbegin(), waiters_.rend(),
                                     [&](const Waiter* waiter) { return *waiter->owner == most->first; });
  (*youngest)->fate = Waiter::Fate::kPushedOut;
  waiters_.erase(std::next(youngest).base());
  changed_.notify_all();
  Grant();  // as when one gives up
  return true;
}

void Admission::Grant() {
  if (stopped_) return;
  const absl::Time now = absl::Now();
  while (true) {
    Waiter* next = nullptr;
    for (Waiter* waiter : waiters_) {
      // Only his own sessions can make room for him: nobody waits behind him.
      if (HeldBy(*waiter->owner) >= options_.sessions_per_owner_max) continue;
      if (next == nullptr || HeldBy(*waiter->owner) < HeldBy(*next->owner)) next = waiter;
    }
    if (next == nullptr) return;
    if (!Fits(*next)) {
      // He needs more memory than there is. Smaller ones may pass him for half of his time.
      if (now - next->arrived > options_.wait_max / 2) return;
      Waiter* smaller = nullptr;
      for (Waiter* waiter : waiters_) {
        if (Fits(*waiter) && (smaller == nullptr || HeldBy(*waiter->owner) < HeldBy(*smaller->owner))) smaller = waiter;
      }
      if (smaller == nullptr) return;
      next = smaller;
    }
    next->fate = Waiter::Fate::kEntered;
    waiters_.remove(next);
    ++sessions_;
    ++held_[*next->owner];
    memory_bytes_ += next->memory_bytes;
    changed_.notify_all();
  }
}

void Admission::Leave(const std::string& owner, uint64_t memory_bytes) {
  const std::lock_guard lock(mutex_);
  --sessions_;
  memory_bytes_ -= memory_bytes;
  if (const auto held = held_.find(owner); --held->second == 0) held_.erase(held);
  const absl::Time now = absl::Now();
  if (last_left_ != absl::InfinitePast()) {
    const absl::Duration since = now - last_left_;
    between_leaves_ = between_leaves_ == absl::ZeroDuration() ? since : between_leaves_ * 0.8 + since * 0.2;
  }
  last_left_ = now;
  Grant();
}

void Admission::Stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

uint64_t Admission::waiting() {
  const std::lock_guard lock(mutex_);
  return waiters_.size();
}

}  // namespace carrel::interpreter
