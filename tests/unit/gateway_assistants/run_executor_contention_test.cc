// Runs that meet each other, their clients, a full disk and a restart: each ends once, and nobody is kept waiting.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gateway/types/error.h"
#include "gateway/types/run_status_name.h"
#include "run_executor_fixture.h"

namespace carrel::gateway {
namespace {

using ::testing::HasSubstr;

// A full disk: the thread is not locked for ever, and streams are not left waiting.
TEST_F(RunExecutorTest, WhatCannotBeStoredIsTakenUpAgainWhenItCan) {
  Close();
  options_.retake_after = absl::Milliseconds(20);
  Open();
  const ThreadId answering = NewThreadSaying("hello");
  const ThreadId coding = NewThreadSaying("call code_interpreter {\"code\": \"write\"}");
  const ThreadId asking = NewThreadSaying("call f {}");
  const auto asked = Start(asking);
  WaitFor(asked, RunStatus::kRequiresAction);
  log_->failing = true;
  const auto answered = Start(answering);
  const auto coded = Start(coding);
  // What is to be acknowledged is refused.
  EXPECT_FALSE(executor_->SubmitToolOutputs(project_, asking, asked.id, {{CallId("call_0"), "a"}}).ok());
  EXPECT_EQ(Stream(answered.id, 1).back(), "error");
  while (log_->failures < 8) absl::SleepFor(absl::Milliseconds(2));
  log_->failing = false;
  WaitFor(answered, RunStatus::kCompleted);
  EXPECT_EQ(Answer(answering), "Said: hello");
  // Its code may have run: it is not run again.
  const gateway::Run end = [&] {
    auto found = Get(coded);
    for (const absl::Time until = absl::Now() + absl::Seconds(20); IsActive(found.status) && absl::Now() < until;) {
      absl::SleepFor(absl::Milliseconds(2));
      found = Get(coded);
    }
    return found;
  }();
  EXPECT_FALSE(IsActive(end.status)) << RunStatusName(end.status);
  // The client's answer can be given again.
  for (const absl::Time until = absl::Now() + absl::Seconds(20); absl::Now() < until;) {
    if (executor_->SubmitToolOutputs(project_, asking, asked.id, {{CallId("call_0"), "b"}}).ok()) break;
    absl::SleepFor(absl::Milliseconds(5));
  }
  WaitFor(asked, RunStatus::kCompleted);
  EXPECT_EQ(Answer(asking), "Said: b");
}

TEST_F(RunExecutorTest, OutputsThatComeTwiceAtOnceAreTakenOnce) {
  for (int round = 0; round < 20; ++round) {
    const ThreadId thread = NewThreadSaying("call f {}");
    const auto run = Start(thread);
    WaitFor(run, RunStatus::kRequiresAction);
    std::atomic<int> accepted = 0;
    std::vector<std::thread> clients;
    for (int c = 0; c < 4; ++c) {
      clients.emplace_back([&, c] {
        const auto submitted =
            executor_->SubmitToolOutputs(project_, thread, run.id, {{CallId("call_0"), absl::StrCat("out ", c)}});
        if (submitted.ok()) {
          ++accepted;
        } else {
          EXPECT_EQ(ErrorOf(submitted.status())->kind, ErrorKind::kOutputsNotAccepted) << submitted.status();
        }
      });
    }
    for (std::thread& client : clients) client.join();
    EXPECT_EQ(accepted, 1);
    WaitFor(run, RunStatus::kCompleted);
    EXPECT_THAT(Answer(thread), ::testing::StartsWith("Said: out "));
  }
}

TEST_F(RunExecutorTest, OutputsWhileItIsCancelledAreTakenOrRefusedButNeverBoth) {
  for (int round = 0; round < 20; ++round) {
    const ThreadId thread = NewThreadSaying("call f {}");
    const auto run = Start(thread);
    WaitFor(run, RunStatus::kRequiresAction);
    absl::Status cancelled;
    std::thread canceller([&] { cancelled = executor_->Cancel(project_, thread, run.id).status(); });
    const auto submitted = executor_->SubmitToolOutputs(project_, thread, run.id, {{CallId("call_0"), "out"}});
    canceller.join();
    EXPECT_TRUE(cancelled.ok() || submitted.ok());
    if (!submitted.ok()) {
      EXPECT_EQ(ErrorOf(submitted.status())->kind, ErrorKind::kOutputsNotAccepted);
    }
    WaitFor(run, cancelled.ok() ? RunStatus::kCancelled : RunStatus::kCompleted);
    // Whatever won, the thread is free.
    NewMessage again;
    again.content.push_back({.text = "again"});
    ASSERT_TRUE(threads_->AddMessage(project_, thread, again).ok());
  }
}

TEST_F(RunExecutorTest, OutputsAfterTheTimeIsUpAreRefused) {
  const ThreadId thread = NewThreadSaying("call f {}");
  const auto run = Start(thread);
  WaitFor(run, RunStatus::kRequiresAction);
  // While nobody was there to see it: a process that starts later finds it.
  Close();
  clock_.ahead_seconds = 601;
  Open();
  WaitFor(run, RunStatus::kExpired);
  EXPECT_EQ(ErrorOf(executor_->SubmitToolOutputs(project_, thread, run.id, {{CallId("call_0"), "late"}}).status()),
            (Error{ErrorKind::kOutputsNotAccepted, "", {"expired"}}));
  EXPECT_EQ(ErrorOf(executor_->Cancel(project_, thread, run.id).status())->kind, ErrorKind::kRunNotCancellable);
  EXPECT_EQ(Steps(run).at(0).status, RunStep::Status::kExpired);
}

// A reader that never reads, and one that goes: the run does not notice.
TEST_F(RunExecutorTest, AReaderThatDoesNotReadHoldsNothingUp) {
  const ThreadId thread = NewThreadSaying("hello");
  const auto run = Start(thread);
  const auto idle = storage_->run_log().Subscribe(run.id, 1);
  bool woken = false;
  auto gone = storage_->run_log().Subscribe(run.id, 1'000'000);
  gone->NotifyWhenReady([&] { woken = true; });
  gone.reset();
  WaitFor(run, RunStatus::kCompleted);
  EXPECT_FALSE(woken);
  EXPECT_EQ(idle->Take(1000)->back().kind, RunEventKind::kRunCompleted);
}

TEST_F(RunExecutorTest, NotMoreRunThanMayAndAllComplete) {
  Close();
  options_.runs_in_flight_max = 3;
  Open();
  model_->delay = absl::Milliseconds(20);
  std::vector<gateway::Run> runs;
  for (int i = 0; i < 30; ++i) runs.push_back(Start(NewThreadSaying(absl::StrCat("n", i))));
  for (const auto& run : runs) WaitFor(run, RunStatus::kCompleted);
}

TEST_F(RunExecutorTest, ThreeHundredAtOnceHoldNoThreads) {
  model_->delay = absl::Milliseconds(1000);
  std::vector<gateway::Run> runs;
  const absl::Time begin = absl::Now();
  for (int i = 0; i < 300; ++i) runs.push_back(Start(NewThreadSaying(absl::StrCat("n", i))));
  for (const auto& run : runs) WaitFor(run, RunStatus::kCompleted);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(30));
}

TEST_F(RunExecutorTest, ARestartTakesUpWhatItFinds) {
  const auto answering = Start(NewThreadSaying("hang"));
  const auto waiting = Start(NewThreadSaying("call f {}"));
  const auto running = Start(NewThreadSaying("call code_interpreter {\"code\": \"hang\"}"));
  WaitFor(answering, RunStatus::kInProgress);
  WaitFor(waiting, RunStatus::kRequiresAction);
  WaitFor(running, RunStatus::kInProgress);
  while (Steps(running).empty() || Steps(running)[0].tool_calls.empty()) absl::SleepFor(absl::Milliseconds(2));
  Close();
  Open();
  const auto failed = WaitFor(running, RunStatus::kFailed);
  EXPECT_THAT(failed.last_error->message, HasSubstr("restarted"));
  EXPECT_EQ(Steps(running).at(0).status, RunStep::Status::kFailed);
  ASSERT_TRUE(executor_->SubmitToolOutputs(project_, waiting.thread_id, waiting.id, {{CallId("call_0"), "late"}}).ok());
  WaitFor(waiting, RunStatus::kCompleted);
  EXPECT_EQ(Answer(waiting.thread_id), "Said: late");
  // It asks the model again, which hangs again.
  while (model_->requests().size() < 2) absl::SleepFor(absl::Milliseconds(2));
  EXPECT_TRUE(executor_->Cancel(project_, answering.thread_id, answering.id).ok());
}

TEST_F(RunExecutorTest, CancelsAndOutputsFromManyThreads) {
  std::vector<gateway::Run> runs;
  for (int i = 0; i < 60; ++i) {
    runs.push_back(Start(NewThreadSaying(i % 3 == 0   ? "call f {}"
                                         : i % 3 == 1 ? "say"
                                                      : "call code_interpreter {\"code\": \"write\"}")));
  }
  std::vector<std::thread> clients;
  for (int c = 0; c < 4; ++c) {
    clients.emplace_back([&, c] {
      std::mt19937 random(c);
      for (int i = 0; i < 200; ++i) {
        const gateway::Run& run = runs[random() % runs.size()];
        // Most are refused, as the run is elsewhere: none may hang or harm.
        if (random() % 4 == 0) {
          (void)executor_->Cancel(project_, run.thread_id, run.id);
        } else {
          (void)executor_->SubmitToolOutputs(project_, run.thread_id, run.id, {{CallId("call_0"), "x"}});
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  for (const auto& run : runs) {
    auto found = Get(run);
    for (const absl::Time end = absl::Now() + absl::Seconds(20); IsActive(found.status) && absl::Now() < end;) {
      if (found.status == RunStatus::kRequiresAction) (void)executor_->Cancel(project_, run.thread_id, run.id);
      absl::SleepFor(absl::Milliseconds(2));
      found = Get(run);
    }
    EXPECT_FALSE(IsActive(found.status)) << RunStatusName(found.status);
    for (const RunStep& step : Steps(run)) EXPECT_NE(step.status, RunStep::Status::kInProgress);
    for (const Message& message : Messages(run.thread_id)) EXPECT_NE(message.status, Message::Status::kInProgress);
  }
}

}  // namespace
}  // namespace carrel::gateway
