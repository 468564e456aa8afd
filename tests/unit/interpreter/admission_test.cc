// Who gets room, who waits, who is refused; and that a greedy owner delays nobody but himself.
#include "interpreter/engine/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "interpreter/engine/errors.h"

namespace carrel::interpreter {
namespace {

using ::testing::HasSubstr;
using Room = Admission::Room;

constexpr AdmissionOptions kTwo = {.sessions_max = 2,
                                   .sessions_per_owner_max = 2,
                                   .memory_bytes_total_max = 1000,
                                   .waiting_max = 4,
                                   .wait_max = absl::Seconds(30)};

// Requests that wait, each in a thread of its own, in the order in which they were made.
class Queue final {
 public:
  explicit Queue(Admission& admission) : admission_(admission) {}
  ~Queue() {
    for (std::thread& thread : threads_) thread.join();
  }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // Returns when it waits (or was answered at once). What it got goes to `granted`, and its room is kept.
  void Add(const std::string& owner, uint64_t memory = 1) {
    const uint64_t before = admission_.waiting();
    const size_t answered = Answers();
    threads_.emplace_back([this, owner, memory] {
      absl::StatusOr<Room> room = admission_.Enter(owner, memory);
      const std::lock_guard lock(mutex_);
      answers_.push_back(room.ok() ? owner : owner + ": " + std::string(room.status().message()));
      if (room.ok()) rooms_.push_back(*std::move(room));
    });
    while (admission_.waiting() == before && Answers() == answered) std::this_thread::yield();
  }
  std::vector<std::string> AwaitAnswers(size_t count) {
    while (Answers() < count) std::this_thread::yield();
    const std::lock_guard lock(mutex_);
    return answers_;
  }
  // Gives back the oldest room that a waiter got.
  void Leave() {
    std::optional<Room> room;
    const std::lock_guard lock(mutex_);
    room = std::move(rooms_.front());
    rooms_.pop_front();
  }

 private:
  size_t Answers() {
    const std::lock_guard lock(mutex_);
    return answers_.size();
  }
  Admission& admission_;
  std::mutex mutex_;
  std::vector<std::string> answers_;
  std::deque<Room> rooms_;
  std::vector<std::thread> threads_;
};

TEST(AdmissionTest, RoomComesBackWithItsOwner) {
  AdmissionOptions options = kTwo;
  options.wait_max = absl::ZeroDuration();
  Admission admission(options);
  std::optional<Room> first = *admission.Enter("a", 1);
  const Room second = *admission.Enter("a", 1);
  EXPECT_EQ(admission.Enter("b", 1).status().code(), absl::StatusCode::kResourceExhausted);
  first.reset();
  EXPECT_TRUE(admission.Enter("b", 1).ok());
}

TEST(AdmissionTest, WhoWaitsInVainIsToldWhyAndWhenToComeAgain) {
  AdmissionOptions options = kTwo;
  options.wait_max = absl::Milliseconds(20);
  Admission admission(options);
  const Room first = *admission.Enter("a", 1);
  const Room second = *admission.Enter("a", 1);
  const absl::Status refused = admission.Enter("b", 1).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("none ended within 20ms"));
  EXPECT_GT(FactsOf(refused)->retry_after, absl::ZeroDuration());
  EXPECT_EQ(admission.waiting(), 0u);
}

TEST(AdmissionTest, WhatNeverFitsIsRefusedAtOnce) {
  Admission admission(kTwo);
  const absl::Status refused = admission.Enter("a", 1001).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << "who tries again would be refused for ever";
  EXPECT_EQ(FactsOf(refused)->field, "limits.memory_bytes");
  EXPECT_EQ(FactsOf(refused)->retry_after, absl::ZeroDuration());
  EXPECT_THAT(std::string(refused.message()), HasSubstr("at most 1000"));
}

TEST(AdmissionTest, PromisesMayBeMoreThanThereIs) {
  AdmissionOptions options = kTwo;
  options.sessions_max = 10;
  options.sessions_per_owner_max = 10;
  options.memory_overcommit_percent = 250;
  options.wait_max = absl::ZeroDuration();
  Admission admission(options);
  const Room first = *admission.Enter("a", 1000);
  const Room second = *admission.Enter("b", 1000);
  EXPECT_EQ(admission.Enter("c", 501).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(admission.Enter("c", 500).ok());
  EXPECT_EQ(admission.Enter("c", 1001).status().code(), absl::StatusCode::kInvalidArgument)
      << "one alone cannot have what is not there";
}

TEST(AdmissionTest, AnyAmountTimesAnyFactorIsNoOverflow) {
  AdmissionOptions options = kTwo;
  options.memory_bytes_total_max = UINT64_MAX / 2;
  options.memory_overcommit_percent = 10'000;
  Admission admission(options);
  EXPECT_TRUE(admission.Enter("a", UINT64_MAX / 2).ok());
}

TEST(AdmissionTest, AGreedyOwnerDelaysNobodyButHimself) {
  Admission admission(kTwo);
  std::optional<Room> first = *admission.Enter("greedy", 1);
  const Room second = *admission.Enter("greedy", 1);
  Queue queue(admission);
  for (int i = 0; i < 3; ++i) queue.Add("greedy");
  queue.Add("modest");
  first.reset();
  EXPECT_EQ(queue.AwaitAnswers(1)[0], "modest") << "who holds least is next, though he came last";
  queue.Leave();
  EXPECT_EQ(queue.AwaitAnswers(2)[1], "greedy");
  queue.Leave();
  queue.AwaitAnswers(3);
  queue.Leave();
  queue.AwaitAnswers(4);
}

TEST(AdmissionTest, AFullQueueOfOneOwnerHasPlaceForAnother) {
  Admission admission(kTwo);
  std::optional<Room> first = *admission.Enter("greedy", 1);
  std::optional<Room> second = *admission.Enter("greedy", 1);
  Queue queue(admission);
  for (int i = 0; i < 4; ++i) queue.Add("greedy");
  queue.Add("modest");
  EXPECT_THAT(queue.AwaitAnswers(1)[0], HasSubstr("greedy: ")) << "his youngest was pushed out";
  EXPECT_EQ(admission.waiting(), 4u);
  // And one more of the greedy is refused, for nobody has more waiting than he.
  const absl::Status refused = admission.Enter("greedy", 1).status();
  EXPECT_THAT(std::string(refused.message()), HasSubstr("4 wait for room, the most that may"));
  first.reset();
  EXPECT_EQ(queue.AwaitAnswers(2)[1], "modest");
  second.reset();
  for (size_t answers = 3; answers <= 5; ++answers) {
    queue.AwaitAnswers(answers);
    queue.Leave();
  }
}

TEST(AdmissionTest, AnOwnerAtHisOwnLimitHoldsUpNobody) {
  AdmissionOptions options = kTwo;
  options.sessions_per_owner_max = 1;
  Admission admission(options);
  std::optional<Room> first = *admission.Enter("a", 1);
  Queue queue(admission);
  queue.Add("a");
  EXPECT_TRUE(admission.Enter("b", 1).ok());
  first.reset();
  EXPECT_EQ(queue.AwaitAnswers(1)[0], "a");
}

TEST(AdmissionTest, ALargeOneIsNotPassedForEver) {
  AdmissionOptions options = kTwo;
  options.sessions_max = 10;
  options.sessions_per_owner_max = 10;
  options.wait_max = absl::Milliseconds(400);
  Admission admission(options);
  std::optional<Room> half = *admission.Enter("a", 500);
  Queue queue(admission);
  queue.Add("large", 900);
  std::optional<Room> small = *admission.Enter("b", 100);
  std::this_thread::sleep_for(std::chrono::milliseconds(250));
  queue.Add("late", 200);  // it would fit, but the large one has waited for half of its time
  small.reset();
  half.reset();
  EXPECT_EQ(queue.AwaitAnswers(1)[0], "large");
  queue.Leave();
  queue.AwaitAnswers(2);
}

TEST(AdmissionTest, WhoGivesUpLeavesTheRoomToThoseBehindHim) {
  AdmissionOptions options = kTwo;
  options.wait_max = absl::Seconds(2);
  Admission admission(options);
  const Room half = *admission.Enter("a", 500);
  std::atomic<bool> gone = false;
  auto large =
      std::async(std::launch::async, [&] { return admission.Enter("b", 900, [&] { return gone.load(); }).status(); });
  while (admission.waiting() == 0) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  Queue queue(admission);
  queue.Add("small", 100);  // it would fit, but the large one has waited for half of its time
  gone = true;
  EXPECT_EQ(large.get().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(queue.AwaitAnswers(1)[0], "small") << "nobody left, and still there is room for him";
}

TEST(AdmissionTest, AClientThatGoesAwayLeavesTheQueue) {
  Admission admission(kTwo);
  const Room first = *admission.Enter("a", 1);
  const Room second = *admission.Enter("a", 1);
  std::atomic<bool> gone = false;
  auto waiting =
      std::async(std::launch::async, [&] { return admission.Enter("b", 1, [&] { return gone.load(); }).status(); });
  while (admission.waiting() == 0) std::this_thread::yield();
  gone = true;
  EXPECT_EQ(waiting.get().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(admission.waiting(), 0u);
}

TEST(AdmissionTest, StoppingAnswersThoseWhoWait) {
  Admission admission(kTwo);
  const Room first = *admission.Enter("a", 1);
  const Room second = *admission.Enter("a", 1);
  auto waiting = std::async(std::launch::async, [&] { return admission.Enter("b", 1).status(); });
  while (admission.waiting() == 0) std::this_thread::yield();
  admission.Stop();
  EXPECT_EQ(waiting.get().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(admission.Enter("b", 1).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace carrel::interpreter
