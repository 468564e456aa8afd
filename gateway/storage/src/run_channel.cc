#include "run_channel.h"

#include <algorithm>

#include "absl/time/clock.h"

namespace carrel::gateway {
namespace {

// What a channel holds at most. A reader who is further behind than this has lost events.
constexpr size_t kEventsMax = 200'000;
constexpr size_t kBytesMax = 32u << 20;
// The events of a run that ended stay as long as this, for a reader who asks for them just then.
constexpr absl::Duration kLinger = absl::Seconds(30);

size_t SizeOf(const SearchResult& result) {
  size_t size = result.passage.size();
  for (const Citation& citation : result.citations) {
    size += citation.quote.size() + citation.boxes.size() * sizeof(PageBox);
  }
  return size;
}

// Roughly, and only what can be large.
size_t SizeOf(const RunEvent& event) {
  size_t size = sizeof(RunEvent);
  if (const auto* delta = std::get_if<MessageDelta>(&event.payload)) size += delta->text.size();
  if (const auto* delta = std::get_if<StepDelta>(&event.payload)) size += delta->arguments.size() + delta->code.size();
  if (const auto* run = std::get_if<Run>(&event.payload)) size += run->instructions.size();
  if (const auto* message = std::get_if<Message>(&event.payload)) {
    for (const ContentPart& part : message->content) size += part.text.size();
  }
  if (const auto* step = std::get_if<RunStep>(&event.payload)) {
    for (const ToolCall& call : step->tool_calls) {
      size += call.code.size() + call.arguments.size() + (call.output.has_value() ? call.output->size() : 0);
      for (const CodeOutput& output : call.code_outputs) size += output.logs.size();
      for (const SearchResult& result : call.search_results) size += SizeOf(result);
    }
  }
  return size;
}

class ChannelSubscription final : public RunSubscription {
 public:
  ChannelSubscription(std::shared_ptr<RunChannel> channel, uint64_t from) : channel_(std::move(channel)), next_(from) {}
  ~ChannelSubscription() override { channel_->Forget(this); }

  absl::StatusOr<std::vector<RunEvent>> Take(size_t count) override { return channel_->Take(next_, count); }
  void NotifyWhenReady(absl::AnyInvocable<void()> ready) override {
    channel_->NotifyWhenReady(next_, this, std::move(ready));
  }
  absl::StatusOr<std::vector<RunEvent>> Wait(size_t count, absl::Time deadline) override {
    return channel_->Wait(next_, count, deadline);
  }

 private:
  std::shared_ptr<RunChannel> channel_;
  uint64_t next_;
};

}  // namespace

uint64_t RunChannel::Enqueue(std::vector<RunEvent>& events, bool at_once) {
  absl::MutexLock lock(&mutex_);
  for (RunEvent& event : events) event.sequence = next_++;
  touched_ = absl::Now();
  uint64_t ticket = next_ticket_++;
  waiting_.push_back({ticket, at_once, events});
  Show();
  return ticket;
}

void RunChannel::Settle(uint64_t ticket, bool durable) {
  absl::MutexLock lock(&mutex_);
  for (Batch& batch : waiting_) {
    if (batch.ticket != ticket) continue;
    batch.shown_when_reached = true;
    if (!durable) batch.events.clear();
  }
  Show();
}

void RunChannel::Show() {
  bool shown = false;
  while (!waiting_.empty() && waiting_.front().shown_when_reached) {
    for (RunEvent& event : waiting_.front().events) {
      bytes_ += SizeOf(event);
      events_.push_back(std::move(event));
      shown = true;
    }
    waiting_.pop_front();
  }
  while (events_.size() > kEventsMax || (bytes_ > kBytesMax && events_.size() > 1)) {
    bytes_ -= SizeOf(events_.front());
    lost_before_ = events_.front().sequence + 1;
    events_.pop_front();
  }
  if (!shown) return;
  // Called with the lock held: they do nothing but post work elsewhere, and Forget can so promise that none is running.
  for (auto& [id, ready] : waiters_) ready();
  waiters_.clear();
}

uint64_t RunChannel::next_sequence() const {
  absl::MutexLock lock(&mutex_);
  return next_;
}

absl::Time RunChannel::touched() const {
  absl::MutexLock lock(&mutex_);
  return touched_;
}

bool RunChannel::HasFrom(uint64_t next) const { return !events_.empty() && events_.back().sequence >= next; }

absl::StatusOr<std::vector<RunEvent>> RunChannel::TakeLocked(uint64_t& next, size_t count) {
  if (next < lost_before_) return absl::DataLossError("the reader was too slow: events of the run are gone");
  auto begin = std::lower_bound(events_.begin(), events_.end(), next,
                                [](const RunEvent& event, uint64_t sequence) { return event.sequence < sequence; });
  auto end = begin + std::min<ptrdiff_t>(count, events_.end() - begin);
  std::vector<RunEvent> taken(begin, end);
  if (!taken.empty()) next = taken.back().sequence + 1;
  return taken;
}

absl::StatusOr<std::vector<RunEvent>> RunChannel::Take(uint64_t& next, size_t count) {
  absl::MutexLock lock(&mutex_);
  return TakeLocked(next, count);
}

absl::StatusOr<std::vector<RunEvent>> RunChannel::Wait(uint64_t& next, size_t count, absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  auto ready = [this, &next]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return HasFrom(next) || next < lost_before_; };
  mutex_.AwaitWithDeadline(absl::Condition(&ready), deadline);
  return TakeLocked(next, count);
}

void RunChannel::NotifyWhenReady(uint64_t next, const void* id, absl::AnyInvocable<void()> ready) {
  absl::MutexLock lock(&mutex_);
  if (HasFrom(next) || next < lost_before_) {
    waiters_.erase(id);
    ready();
    return;
  }
  waiters_[id] = std::move(ready);
}

void RunChannel::Forget(const void* id) {
  absl::MutexLock lock(&mutex_);
  waiters_.erase(id);
}

std::shared_ptr<RunChannel> RunChannels::Get(const RunId& run) {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = absl::Now();
  while (!retired_.empty() && retired_.front().first < now - kLinger) {
    const auto known = channels_.find(retired_.front().second);
    // A run whose streams were ended by an error may have been taken up again.
    const bool speaks = known != channels_.end() && known->second->touched() > now - kLinger;
    if (speaks) retired_.emplace_back(now, std::move(retired_.front().second));
    if (!speaks && known != channels_.end()) channels_.erase(known);
    retired_.pop_front();
  }
  std::shared_ptr<RunChannel>& channel = channels_[run.value];
  if (channel == nullptr) channel = std::make_shared<RunChannel>(first_(run));
  return channel;
}

void RunChannels::Retire(const RunId& run) {
  absl::MutexLock lock(&mutex_);
  retired_.emplace_back(absl::Now(), run.value);
}

std::unique_ptr<RunSubscription> MakeSubscription(std::shared_ptr<RunChannel> channel, uint64_t from) {
  return std::make_unique<ChannelSubscription>(std::move(channel), from);
}

}  // namespace carrel::gateway
