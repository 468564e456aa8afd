// Sessions and their table against a scripted driver: what each end of a call is called, who waits, who is refused.
#include "interpreter/engine/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "interpreter/engine/errors.h"
#include "interpreter/engine/session_table.h"
#include "tests/unit/interpreter/scripted_jail.h"

namespace carrel::interpreter {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::ScriptedJails;

class Collected final : public EventSink {
 public:
  std::string out;
  std::string err;
  std::atomic<bool> cancelled = false;
  std::atomic<bool> started = false;

  void OnStarted(const std::string&, absl::Duration, absl::Duration) override { started = true; }
  void OnStdout(std::string text) override { out += text; }
  void OnStderr(std::string text) override { err += text; }
  void OnDisplay(Display) override {}
  void OnArtifact(Artifact) override {}
  [[nodiscard]] bool Cancelled() const override { return cancelled; }
};

class TableTest : public ::testing::Test {
 protected:
  ScriptedJails jails_;
  SessionTable table_{{.sessions_max = 4,
                       .sessions_per_owner_max = 3,
                       .memory_bytes_total_max = 10ull << 30,
                       .calls_waiting_max = 1,
                       .interrupt_grace = absl::Milliseconds(100)},
                      jails_};

  void AwaitNoJail() const {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (*jails_.alive > 0 && absl::Now() < deadline) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_EQ(*jails_.alive, 0);
  }
  std::string Make(const CreateOptions& options = {}) {
    const absl::StatusOr<std::shared_ptr<Session>> session = table_.Create(options);
    EXPECT_TRUE(session.ok()) << session.status();
    return session.ok() ? (*session)->id() : "";
  }
  Outcome Run(const std::string& script, const Limits& limits = {}) {
    const std::string id = Make();
    Collected sink;
    absl::StatusOr<Outcome> outcome = table_.Execute({.session_id = id, .code = script, .limits = limits}, sink);
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_TRUE(table_.Delete("", id));
    return outcome.ok() ? *outcome : Outcome{};
  }
};

TEST_F(TableTest, CompletedWithItsOutputAndIsolation) {
  const std::string id = Make();
  Collected sink;
  const absl::StatusOr<Outcome> outcome = table_.Execute({.session_id = id, .code = "say hello\nerr oops"}, sink);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->kind, OutcomeKind::kCompleted);
  EXPECT_EQ(sink.out, "hello");
  EXPECT_EQ(sink.err, "oops");
  EXPECT_EQ(outcome->usage.stdout_bytes, 5u);
  EXPECT_EQ(outcome->isolation, "scripted");
  EXPECT_THAT(outcome->weakened, ElementsAre("memory: watchdog"));
}

TEST_F(TableTest, EveryEndHasItsKind) {
  EXPECT_EQ(Run("exit 3").kind, OutcomeKind::kExited);
  EXPECT_EQ(Run("exit 3").exit_code, 3);
  EXPECT_TRUE(Run("exit 3").state_kept);
  EXPECT_EQ(Run("leave 4").kind, OutcomeKind::kExited);
  EXPECT_FALSE(Run("leave 4").state_kept);
  EXPECT_EQ(Run("die 6").kind, OutcomeKind::kSignalled);
  EXPECT_EQ(Run("die 6").signal, SIGABRT);
  EXPECT_EQ(Run("die 9").kind, OutcomeKind::kSignalled) << "a kill is no memory limit unless the jail says so";
  EXPECT_EQ(Run("oom").kind, OutcomeKind::kMemoryLimit);
  EXPECT_EQ(Run("oom").limit, LimitName::kMemory);
  EXPECT_EQ(Run("oom").limit_value, 1ull << 30);
  EXPECT_EQ(Run("die " + std::to_string(SIGSYS)).kind, OutcomeKind::kDeniedSyscall);
  EXPECT_EQ(Run("die " + std::to_string(SIGXCPU)).kind, OutcomeKind::kCpuLimit);
  EXPECT_EQ(Run("raise 2").kind, OutcomeKind::kRaised);
}

TEST_F(TableTest, AForgedChannelEndsTheSession) {
  EXPECT_EQ(Run("nonsense").kind, OutcomeKind::kSignalled);
  EXPECT_FALSE(Run("nonsense").state_kept);
  const Outcome closed = Run("hang-up");
  EXPECT_EQ(closed.kind, OutcomeKind::kSignalled);
  EXPECT_THAT(closed.message, HasSubstr("channel"));
}

TEST_F(TableTest, TheTimeLimitInterruptsAndThenKills) {
  const Outcome soft = Run("say x\nspin", {.wall_ms = 30});
  EXPECT_EQ(soft.kind, OutcomeKind::kTimeLimit);
  EXPECT_TRUE(soft.state_kept);
  EXPECT_EQ(soft.limit, LimitName::kWall);
  EXPECT_EQ(soft.limit_value, 30u);
  const Outcome hard = Run("stubborn", {.wall_ms = 30});
  EXPECT_EQ(hard.kind, OutcomeKind::kTimeLimit);
  EXPECT_FALSE(hard.state_kept);
  EXPECT_GE(hard.usage.wall_ms, 130u);
}

TEST_F(TableTest, TheCpuLimitIsTheKernelsCount) {
  const Outcome outcome = Run("burn 500\nspin", {.cpu_ms = 100});
  EXPECT_EQ(outcome.kind, OutcomeKind::kCpuLimit);
  EXPECT_EQ(outcome.usage.cpu_ms, 500u);
  EXPECT_TRUE(outcome.state_kept);
}

TEST_F(TableTest, TheSessionsCpuLimitCountsAllCallsAndEndsTheSession) {
  const std::string id = Make({.limits = {.session_cpu_ms = 250}});
  Collected sink;
  const auto run = [&](const std::string& script) { return table_.Execute({.session_id = id, .code = script}, sink); };
  absl::StatusOr<Outcome> outcome = run("burn 200");
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->kind, OutcomeKind::kCompleted);
  EXPECT_EQ(outcome->usage.session_cpu_ms, 200u);
  outcome = run("burn 100\nspin");
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->kind, OutcomeKind::kCpuLimit);
  EXPECT_EQ(outcome->limit, LimitName::kSessionCpu);
  EXPECT_EQ(outcome->limit_value, 250u);
  EXPECT_EQ(outcome->usage.cpu_ms, 100u);
  EXPECT_EQ(outcome->usage.session_cpu_ms, 300u);
  EXPECT_FALSE(outcome->state_kept);
  EXPECT_THAT(outcome->message, HasSubstr("session's CPU time limit of 250 ms"));
  const absl::Status dead = run("say x").status();
  EXPECT_EQ(dead.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(dead.message()), HasSubstr("250 ms"));
}

TEST_F(TableTest, WhatACallLeftRunningUsesUpTheSessionsCpuToo) {
  const std::string id = Make({.limits = {.session_cpu_ms = 250}});
  Collected sink;
  // It ends before anybody looks, with more on the clock than the session had.
  ASSERT_TRUE(table_.Execute({.session_id = id, .code = "burn 300"}, sink).ok());
  const absl::Status dead = table_.Execute({.session_id = id, .code = "say x"}, sink).status();
  EXPECT_EQ(dead.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(dead.message()), HasSubstr("by what a call had left running"));
  EXPECT_EQ(sink.out, "");
}

TEST_F(TableTest, AKillIsNotBlamedOnAChildThatMemoryEndedInAnEarlierCall) {
  const std::string id = Make();
  Collected sink;
  ASSERT_TRUE(table_.Execute({.session_id = id, .code = "child-oom"}, sink).ok());
  const absl::StatusOr<Outcome> outcome = table_.Execute({.session_id = id, .code = "kill-itself"}, sink);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->kind, OutcomeKind::kSignalled);
  EXPECT_EQ(outcome->signal, SIGKILL);
  EXPECT_EQ(outcome->limit, LimitName::kNone);
}

TEST_F(TableTest, ACallAfterAnInterruptedOneIsNotHitByIt) {
  const std::string id = Make();
  Collected sink;
  const absl::StatusOr<Outcome> stopped =
      table_.Execute({.session_id = id, .code = "spin", .limits = {.wall_ms = 30}}, sink);
  ASSERT_TRUE(stopped.ok());
  EXPECT_EQ(stopped->kind, OutcomeKind::kTimeLimit);
  // The scripted driver forgets interrupts only when it is told to, and "spin" ends at once with one that it remembers.
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    EXPECT_TRUE(*(*table_.Find("", id))->Interrupt());
  });
  const absl::StatusOr<Outcome> next = table_.Execute({.session_id = id, .code = "spin"}, sink);
  later.join();
  ASSERT_TRUE(next.ok());
  EXPECT_EQ(next->kind, OutcomeKind::kRaised);
  EXPECT_GE(next->usage.wall_ms, 100u);
}

TEST_F(TableTest, ASessionOfAnIdThatEndedTellsSo) {
  EXPECT_EQ((*table_.Create({.session_id = "a"}))->Info().predecessor, "");
  EXPECT_TRUE(table_.Delete("", "a"));
  EXPECT_THAT((*table_.Create({.session_id = "a"}))->Info().predecessor, HasSubstr("it was deleted"));
  EXPECT_EQ((*table_.Create({.owner = "other", .session_id = "b"}))->Info().predecessor, "");
  EXPECT_TRUE(table_.Delete("other", "b"));
  EXPECT_EQ((*table_.Create({.session_id = "b"}))->Info().predecessor, "") << "another owner's fate is his own";
}

TEST_F(TableTest, LimitsThatWereOnlyTouchedAreListed) {
  EXPECT_THAT(Run("refuse-fork").limits_touched, ElementsAre(LimitName::kProcesses));
  EXPECT_THAT(Run("child-oom").limits_touched, ElementsAre(LimitName::kMemory));
  EXPECT_THAT(Run("raise " + std::to_string(ENOSPC)).limits_touched, ElementsAre(LimitName::kWorkspace));
  EXPECT_THAT(Run("say x").limits_touched, IsEmpty());
}

TEST_F(TableTest, ADeadSessionSaysWhy) {
  const std::string id = Make();
  Collected sink;
  ASSERT_TRUE(table_.Execute({.session_id = id, .code = "oom"}, sink).ok());
  const absl::Status dead = table_.Execute({.session_id = id, .code = "say x"}, sink).status();
  EXPECT_EQ(dead.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(dead.ToString(), HasSubstr("memory limit"));
  EXPECT_EQ((*table_.Find("", id))->Info().state, SessionState::kDead);
}

TEST_F(TableTest, CallsRunInTheirOrderAndTooManyAreRefused) {
  const std::string id = Make();
  Collected first;
  Collected second;
  Collected third;
  std::thread running([&] { EXPECT_TRUE(table_.Execute({.session_id = id, .code = "spin"}, first).ok()); });
  while (!first.started) std::this_thread::yield();
  std::thread waiting([&] {
    absl::Status status;
    do {  // while the third is in its place
      status = table_.Execute({.session_id = id, .code = "say b"}, second).status();
    } while (status.code() == absl::StatusCode::kResourceExhausted);
    EXPECT_TRUE(status.ok()) << status;
  });
  absl::Status refused;
  do {
    // Until the second is in the queue this one is taken, and waits in its place: give it up then.
    third.cancelled = true;
    std::this_thread::sleep_for(
        std::chrono::milliseconds(1));  // or the second, on a busy machine, never gets its place
    refused = table_.Execute({.session_id = id, .code = "say c"}, third).status();
  } while (refused.code() == absl::StatusCode::kCancelled);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GT(FactsOf(refused)->retry_after, absl::ZeroDuration());
  EXPECT_FALSE(second.started);
  while (!*(*table_.Find("", id))->Interrupt()) std::this_thread::yield();
  running.join();
  waiting.join();
  EXPECT_EQ(second.out, "b");
  EXPECT_FALSE(*(*table_.Find("", id))->Interrupt()) << "nothing runs any more";
}

TEST_F(TableTest, ACancelledCallIsInterrupted) {
  const std::string id = Make();
  Collected sink;
  std::thread canceller([&] {
    while (!sink.started) std::this_thread::yield();
    sink.cancelled = true;
  });
  const absl::StatusOr<Outcome> outcome = table_.Execute({.session_id = id, .code = "spin"}, sink);
  canceller.join();
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->kind, OutcomeKind::kCancelled);
  EXPECT_TRUE(outcome->state_kept);
}

TEST_F(TableTest, DeletingASessionEndsItsCall) {
  const std::string id = Make();
  Collected sink;
  std::thread deleter([&] {
    while (!sink.started) std::this_thread::yield();
    EXPECT_TRUE(table_.Delete("", id));
  });
  const absl::StatusOr<Outcome> outcome = table_.Execute({.session_id = id, .code = "stubborn"}, sink);
  deleter.join();
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->kind, OutcomeKind::kCancelled);
  EXPECT_FALSE(outcome->state_kept);
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(TableTest, TheSameIdAgainIsTheSameSession) {
  EXPECT_EQ(Make({.owner = "a", .session_id = "mine"}), "mine");
  EXPECT_EQ(Make({.owner = "a", .session_id = "mine"}), "mine");
  EXPECT_EQ(table_.size(), 1u);
  EXPECT_EQ(table_.Create({.owner = "b", .session_id = "mine"}).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(table_.Find("b", "mine").status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(table_.Delete("b", "mine"));
}

TEST_F(TableTest, RoomIsLimitedByNumberOwnerAndMemory) {
  for (const char* id : {"1", "2", "3"}) Make({.owner = "a", .session_id = id});
  EXPECT_EQ(table_.Create({.owner = "a"}).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(table_.Create({.owner = "b", .limits = {.memory_bytes = 9ull << 30}}).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(table_.Create({.owner = "b", .limits = {.memory_bytes = 11ull << 30}}).status().code(),
            absl::StatusCode::kInvalidArgument)
      << "more than there is for all";
  Make({.owner = "b", .session_id = "4"});
  const absl::Status full = table_.Create({.owner = "b"}).status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GT(FactsOf(full)->retry_after, absl::ZeroDuration());
  EXPECT_EQ(table_.List("a").size(), 3u);
  EXPECT_TRUE(table_.Delete("a", "2"));
  EXPECT_TRUE(table_.Create({.owner = "b"}).ok());
}

TEST_F(TableTest, ABadRequestNamesItsField) {
  const auto field = [&](const CreateOptions& options) {
    const absl::Status status = table_.Create(options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return FactsOf(status) ? FactsOf(status)->field : "";
  };
  EXPECT_EQ(field({.session_id = "a b"}), "session_id");
  EXPECT_EQ(field({.owner = std::string(129, 'o')}), "owner");
  EXPECT_EQ(field({.idle_timeout = absl::Milliseconds(5)}), "idle_timeout_ms");
  EXPECT_EQ(field({.limits = {.processes = 1}}), "limits.processes");
  EXPECT_EQ(table_.Create({.runtime = "cobol"}).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(TableTest, ASmallMachinesSessionsAreSmall) {
  SessionTable small({.memory_bytes_total_max = 512ull << 20}, jails_);
  const absl::StatusOr<std::shared_ptr<Session>> session = small.Create({.owner = "a"});
  ASSERT_TRUE(session.ok()) << "who asks for nothing gets what there is: " << session.status();
  EXPECT_EQ((*session)->limits().memory_bytes, 512ull << 20);
  const absl::Status refused = small.Create({.owner = "a", .limits = {.memory_bytes = 1ull << 30}}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("536870912"));
}

TEST_F(TableTest, TheDefaultRuntimeIsTheOperatorsChoice) {
  SessionTable table({.memory_bytes_total_max = 10ull << 30, .default_runtime = "lua"}, jails_);
  EXPECT_THAT(std::string(table.Create({.owner = "a"}).status().message()), HasSubstr("no runtime \"lua\""));
  EXPECT_TRUE(table.Create({.owner = "a", .runtime = "python"}).ok());
}

TEST_F(TableTest, APolicyThatIsNoRuntimeIsNotOffered) {
  ASSERT_EQ(jails_.policies().size(), 2u);
  ASSERT_EQ(table_.Runtimes().size(), 1u);
  EXPECT_EQ(table_.Runtimes()[0].name, "python");
  const absl::Status refused = table_.Create({.owner = "a", .runtime = "extract"}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("there are: python"));
}

TEST_F(TableTest, AJailThatCannotBeMadeIsTheJailsWord) {
  jails_.fail_next = absl::UnavailableError("cgroup: not mounted");
  EXPECT_EQ(table_.Create({}).status(), absl::UnavailableError("cgroup: not mounted"));
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_TRUE(table_.Create({}).ok());
}

TEST_F(TableTest, AJailThatFindsNoRoomOnTheDiskSaysWhenToTryAgain) {
  jails_.fail_next = absl::ResourceExhaustedError("the disk of the workspaces has no room");
  const absl::Status refused = table_.Create({}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(std::string(refused.message()), "the disk of the workspaces has no room");
  EXPECT_GT(FactsOf(refused)->retry_after, absl::ZeroDuration());
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_TRUE(table_.Create({}).ok());
}

TEST_F(TableTest, WhoMayWaitForRoomWaitsForTheDisksToo) {
  jails_.layers = {{.name = "workspace", .active = true}};
  SessionTable patient({.memory_bytes_total_max = 10ull << 30, .admission_wait_max = absl::Seconds(20)}, jails_);
  jails_.fail_next = absl::ResourceExhaustedError("the disk of the workspaces has no room");
  EXPECT_TRUE(patient.Create({}).ok()) << "a moment later there is room";
}

TEST_F(TableTest, AThrowAwayCallLeavesNothing) {
  Collected sink;
  const absl::StatusOr<Outcome> outcome = table_.Execute({.code = "say once"}, sink);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(sink.out, "once");
  EXPECT_EQ(table_.size(), 0u);
  AwaitNoJail();  // it ends after the answer
}

TEST_F(TableTest, IdleSessionsExpireAndTheirIdTellsIt) {
  const std::string id = Make({.idle_timeout = absl::Seconds(1)});
  AwaitNoJail();
  EXPECT_EQ(table_.size(), 0u);
  const absl::Status gone = table_.Find("", id).status();
  EXPECT_EQ(gone.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(gone.ToString(), HasSubstr("no call for 1s"));
  EXPECT_THAT(table_.Find("another", id).status().ToString(), Not(HasSubstr("ended")));
}

TEST_F(TableTest, ALifetimeEndsASessionThatIsBusy) {
  const std::string id = Make({.lifetime = absl::Seconds(1)});
  Collected sink;
  const absl::StatusOr<Outcome> outcome = table_.Execute({.session_id = id, .code = "stubborn"}, sink);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->kind, OutcomeKind::kCancelled);
  EXPECT_FALSE(outcome->state_kept);
  EXPECT_THAT(table_.Find("", id).status().ToString(), HasSubstr("its lifetime of 1s was over"));
  AwaitNoJail();
}

TEST_F(TableTest, ADeletedSessionsIdTellsIt) {
  const std::string id = Make();
  EXPECT_TRUE(table_.Delete("", id));
  EXPECT_THAT(table_.Find("", id).status().ToString(), HasSubstr("it was deleted"));
}

TEST_F(TableTest, ASessionOfThePoolIsAsAnyOther) {
  SessionTable table({.sessions_max = 4, .memory_bytes_total_max = 10ull << 30, .pool = {.size = 1}}, jails_);
  while (table.pool().ready() == 0) std::this_thread::yield();
  const absl::StatusOr<std::shared_ptr<Session>> session = table.Create({.owner = "a"});
  ASSERT_TRUE(session.ok()) << session.status();
  Collected sink;
  const absl::StatusOr<Outcome> outcome =
      table.Execute({.owner = "a", .session_id = (*session)->id(), .code = "say hello"}, sink);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(sink.out, "hello");
  EXPECT_EQ(table.statistics().Total(Event::kStartedPooled), 1u);
  EXPECT_EQ(table.size(), 1u);
}

TEST_F(TableTest, CodeOverItsSizeIsRefused) {
  Collected sink;
  const std::string code((1 << 20) + 1, ' ');
  EXPECT_EQ(table_.Execute({.code = code}, sink).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace carrel::interpreter
