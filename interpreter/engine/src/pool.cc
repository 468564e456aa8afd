#include "interpreter/engine/pool.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "interpreter/engine/limits.h"

namespace carrel::interpreter {
namespace {

// How often it looks whether a member has died or a runtime has changed.
constexpr std::chrono::milliseconds kLookPeriod(250);
// After a failure: what is wrong with the jail will not be better at once.
constexpr absl::Duration kFailurePause = absl::Seconds(1);
// From an answer to when its receiver will not go on at once; for one who will not, until the answer is on its way.
constexpr absl::Duration kPause = absl::Milliseconds(3);
constexpr absl::Duration kPauseAfterLast = absl::Microseconds(200);
// Where no pause comes, a member is made this long after the one before was made or taken.
constexpr absl::Duration kPatience = absl::Milliseconds(100);
// What a member is taken to hold before one was measured.
constexpr uint64_t kMemberBytesGuess = 16ull << 20;

}  // namespace

Pool::Pool(const PoolOptions& options, sandbox::JailMaker& jails, Statistics& statistics)
    : options_(options), jails_(jails), statistics_(statistics) {
  if (options_.size > 0) filler_ = std::thread([this] { FillLoop(); });
}

Pool::~Pool() {
  Stop();
  if (filler_.joinable()) filler_.join();
  for (auto& [runtime, members] : members_) {
    for (Member& member : members) member.process.jail->BeginEnd();
  }
}

void Pool::Stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

std::optional<InterpreterProcess> Pool::Take(const std::string& runtime, const sandbox::JailLimits& limits) {
  if (options_.size == 0) return std::nullopt;
  std::vector<Member> spoiled;  // ends after the lock
  const std::lock_guard lock(mutex_);
  if (stopping_) return std::nullopt;
  spoiled = Spoiled();
  const auto found = members_.find(runtime);
  if (found == members_.end() || found->second.empty() || !(found->second.front().limits == limits)) {
    return std::nullopt;
  }
  Member member = std::move(found->second.front());
  found->second.pop_front();
  memory_bytes_ -= member.memory_bytes;
  if (!std::exchange(is_short_, true)) patience_at_ = absl::Now() + kPatience;
  // Else the filler is told at the request's end: nobody shall be woken while it begins.
  if (requests_.load() == 0) changed_.notify_all();
  return std::move(member.process);
}

void Pool::EndRequest(bool goes_on) {
  if (requests_.fetch_sub(1) > 1) return;
  const std::lock_guard lock(mutex_);
  pause_at_ = absl::Now() + (goes_on ? kPause : kPauseAfterLast);
  if (is_short_) changed_.notify_all();
}

absl::Time Pool::NextPause() const { return requests_.load() > 0 ? patience_at_ : std::min(pause_at_, patience_at_); }

std::vector<Pool::Member> Pool::Spoiled() {
  std::vector<Member> spoiled;
  const std::vector<sandbox::PolicyInfo> policies = jails_.policies();
  for (auto& [runtime, members] : members_) {
    const auto policy = std::find_if(policies.begin(), policies.end(),
                                     [&name = runtime](const auto& known) { return known.name == name; });
    for (auto member = members.begin(); member != members.end();) {
      const bool good = policy != policies.end() && policy->generation == member->generation &&
                        !member->process.jail->exit().has_value();
      if (good) {
        ++member;
        continue;
      }
      statistics_.Count(Event::kPoolDropped);
      memory_bytes_ -= member->memory_bytes;
      spoiled.push_back(std::move(*member));
      member = members.erase(member);
    }
  }
  return spoiled;
}

std::optional<sandbox::PolicyInfo> Pool::NextToMake() {
  const uint64_t expected = largest_member_bytes_ != 0 ? largest_member_bytes_ : kMemberBytesGuess;
  if (memory_bytes_ + expected > options_.memory_bytes_max) return std::nullopt;
  // The runtime that has fewest.
  std::optional<sandbox::PolicyInfo> next;
  for (sandbox::PolicyInfo& policy : RuntimesOf(jails_, options_.session_memory_bytes_max)) {
    if (policy.runtime != sandbox::RuntimeUse::kPooled || !policy.ready ||
        members_[policy.name].size() >= options_.size)
      continue;
    if (!next || members_[policy.name].size() < members_[next->name].size()) next = std::move(policy);
  }
  return next;
}

bool Pool::Make(const sandbox::PolicyInfo& policy) {
  const sandbox::JailLimits limits = ToJailLimits(DefaultLimits(policy, options_.default_limits));
  absl::StatusOr<InterpreterProcess> process =
      StartInterpreter({.runtime = policy.name, .limits = limits, .warm = true}, jails_, statistics_);
  if (!process.ok()) {
    // Whoever asks for a session makes one himself, and is told what is wrong.
    statistics_.Count(Event::kPoolFailed);
    return false;
  }
  const absl::StatusOr<sandbox::JailStats> stats = process->jail->Stats();
  Member member{.process = *std::move(process), .limits = limits, .generation = policy.generation};
  member.memory_bytes = stats.ok() && stats->memory_bytes != 0 ? stats->memory_bytes : kMemberBytesGuess;
  statistics_.Count(Event::kPoolMade);
  const std::lock_guard lock(mutex_);
  memory_bytes_ += member.memory_bytes;
  largest_member_bytes_ = std::max(largest_member_bytes_, member.memory_bytes);
  members_[policy.name].push_back(std::move(member));
  return true;
}

void Pool::FillLoop() {
  std::unique_lock lock(mutex_);
  absl::Time not_before = absl::InfinitePast();
  while (!stopping_) {
    std::vector<Member> spoiled = Spoiled();
    const absl::Time now = absl::Now();
    const std::optional<sandbox::PolicyInfo> next = now < not_before ? std::nullopt : NextToMake();
    if (!next && now >= not_before) is_short_ = false;
    const absl::Duration to_pause = next ? NextPause() - now : absl::InfiniteDuration();
    if (spoiled.empty() && to_pause > absl::ZeroDuration()) {
      const auto period = absl::FromChrono(kLookPeriod);
      changed_.wait_for(lock,
                        absl::ToChronoMicroseconds(absl::Ceil(std::min(to_pause, period), absl::Microseconds(1))));
      continue;
    }
    lock.unlock();
    spoiled.clear();
    const bool make = next && to_pause <= absl::ZeroDuration();
    if (make && !Make(*next)) not_before = absl::Now() + kFailurePause;
    lock.lock();
    if (make && requests_.load() > 0) patience_at_ = absl::Now() + kPatience;
  }
}

uint64_t Pool::ready() {
  const std::lock_guard lock(mutex_);
  uint64_t count = 0;
  for (const auto& [runtime, members] : members_) count += members.size();
  return count;
}

uint64_t Pool::memory_bytes() {
  const std::lock_guard lock(mutex_);
  return memory_bytes_;
}

}  // namespace carrel::interpreter
