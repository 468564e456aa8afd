// The supervisor with small shell programs for servers.
#include "cli/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "absl/time/clock.h"
#include "sandbox/base/temp_dir.h"

namespace carrel::cli {
namespace {

using ::testing::HasSubstr;
using Kind = SupervisorEvent::Kind;

class SupervisorTest : public testing::Test {
 protected:
  // Blocks in this thread, and in the threads made below; the signals are sent to the process.
  SupervisorTest() : signals_(*rpc::ShutdownSignals::Block()), temp_(*TempDir::Create()) {}

  SupervisedProgram Shell(const std::string& name, const std::string& script) {
    const std::string ready = temp_.path() + "/" + name + ".ready";
    return {.name = name, .argv = {"/bin/sh", "-c", script, "sh", ready}, .health = [ready]() -> absl::Status {
              if (std::filesystem::exists(ready)) return absl::OkStatus();
              return absl::UnavailableError("no file yet");
            }};
  }
  absl::Status Run(std::vector<SupervisedProgram> programs, SupervisorLimits limits,
                   const std::function<void(const SupervisorEvent&)>& also = nullptr) {
    Supervisor supervisor(std::move(programs), limits, [&](const SupervisorEvent& event) {
      events_.push_back(event);
      names_.emplace_back(event.program);
      if (also) also(event);
    });
    return supervisor.Run(signals_);
  }
  [[nodiscard]] int Count(Kind kind) const {
    return static_cast<int>(
        std::count_if(events_.begin(), events_.end(), [&](const auto& event) { return event.kind == kind; }));
  }

  rpc::ShutdownSignals signals_;
  TempDir temp_;
  std::vector<SupervisorEvent> events_;
  std::vector<std::string> names_;
};

SupervisorLimits Quick() {
  return {.start_max = absl::Seconds(10), .stop_max = absl::Seconds(5), .backoff = absl::Milliseconds(10)};
}

constexpr char kServe[] = "trap 'exit 0' TERM; : > \"$1\"; while :; do sleep 0.02; done";

TEST_F(SupervisorTest, StartsWaitsForHealthAndStopsInReverseOrder) {
  const absl::Status status = Run({Shell("first", kServe), Shell("second", kServe)}, Quick(), [](const auto& event) {
    if (event.kind == Kind::kAllReady) ::kill(::getpid(), SIGTERM);
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(Count(Kind::kReady), 2);
  ASSERT_GE(names_.size(), 3u);
  // …, stopping, stopped second, stopped first, stopped.
  EXPECT_EQ(names_[names_.size() - 3], "second");
  EXPECT_EQ(names_[names_.size() - 2], "first");
  EXPECT_EQ(events_[events_.size() - 2].detail, "exited with 0");
}

TEST_F(SupervisorTest, RestartsWhatIsKilled) {
  int kills = 0;
  const absl::Status status = Run({Shell("victim", kServe)}, Quick(), [&](const SupervisorEvent& event) {
    if (event.kind != Kind::kReady) return;
    std::filesystem::remove(temp_.path() + "/victim.ready");
    if (kills++ < 2) {
      ::kill(event.pid, SIGKILL);
    } else {
      ::kill(::getpid(), SIGTERM);
    }
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(Count(Kind::kStarted), 3);
  EXPECT_EQ(Count(Kind::kDied), 2);
}

TEST_F(SupervisorTest, GivesUpOnWhatNeverWorks) {
  const absl::Status status = Run({Shell("good", kServe), Shell("broken", "exit 7")}, Quick());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message().data(), status.message().size()),
              HasSubstr("broken exited with 7, 2 times in a row, and has never worked"));
  EXPECT_EQ(Count(Kind::kStopping), 1);
}

TEST_F(SupervisorTest, AWrongConfigurationIsNotTriedTwice) {
  const absl::Status status = Run({Shell("good", kServe), Shell("strict", "exit 2")}, Quick());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message().data(), status.message().size()), HasSubstr("strict refuses"));
  EXPECT_EQ(Count(Kind::kDied), 1);
}

TEST_F(SupervisorTest, NeverGivesUpWhatHasWorked) {
  // It serves once and then dies at each start, far more often than what never worked is tried.
  const std::string script = "if [ -e \"$1.was\" ]; then exit 1; fi; : > \"$1.was\"; : > \"$1\"; sleep 0.3; exit 1";
  SupervisorLimits limits = Quick();
  limits.backoff_max = absl::Milliseconds(20);
  const absl::Status status = Run({Shell("dying", script)}, limits, [&](const auto& event) {
    if (event.kind == Kind::kDied) std::filesystem::remove(temp_.path() + "/dying.ready");
    if (event.kind == Kind::kDied && Count(Kind::kDied) == 12) ::kill(::getpid(), SIGTERM);
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_GE(Count(Kind::kStarted), 12);
  std::string last;
  for (const SupervisorEvent& event : events_) {
    if (event.kind == Kind::kDied) last = event.detail;
  }
  EXPECT_THAT(last, HasSubstr("12 times in a row"));
  EXPECT_THAT(last, HasSubstr("started again in 20ms"));
}

TEST_F(SupervisorTest, SomebodyElsesKillsAreBornePatientlyAlsoBeforeItFirstWorked) {
  const absl::Status status =
      Run({Shell("victim",
                 "[ -e \"$1.3\" ] && { : > \"$1\"; exec sleep 100; }; [ -e \"$1.2\" ] && : > \"$1.3\"; "
                 "[ -e \"$1.1\" ] && : > \"$1.2\"; : > \"$1.1\"; kill -9 $$")},
          Quick(), [](const auto& event) {
            if (event.kind == Kind::kAllReady) ::kill(::getpid(), SIGTERM);
          });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(Count(Kind::kDied), 3);
}

TEST_F(SupervisorTest, GivesUpOnWhatIsKilledAgainAndAgainAndNeverWorked) {
  const absl::Status status = Run({Shell("victim", "kill -9 $$")}, Quick());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Count(Kind::kDied), 5);
}

TEST_F(SupervisorTest, ReplacesWhatLivesAndDoesNotAnswer) {
  SupervisorLimits limits = Quick();
  limits.check_every = absl::Milliseconds(20);
  limits.hung = absl::Milliseconds(300);
  int ready = 0;
  SupervisedProgram program = Shell("silent", kServe);
  // Its answers stop when it is stopped, as those over a socket would.
  pid_t pid = 0;
  const std::function<absl::Status()> health = program.health;
  program.health = [&pid, health]() -> absl::Status {
    std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
    const std::string facts{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    const size_t name_end = facts.rfind(')');
    if (name_end != std::string::npos && facts.substr(name_end + 2, 1) == "T") {
      return absl::DeadlineExceededError("no answer");
    }
    return health();
  };
  const absl::Status status = Run({program}, limits, [&](const SupervisorEvent& event) {
    if (event.kind == Kind::kStarted) pid = event.pid;
    if (event.kind != Kind::kReady) return;
    if (++ready == 1) {
      ::kill(event.pid, SIGSTOP);
    } else {
      ::kill(::getpid(), SIGTERM);
    }
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(ready, 2);
  ASSERT_EQ(Count(Kind::kDied), 1);
  for (const SupervisorEvent& event : events_) {
    if (event.kind != Kind::kDied) continue;
    EXPECT_THAT(event.detail, HasSubstr("has not answered for"));
    EXPECT_THAT(event.detail, HasSubstr("no answer"));
  }
}

TEST_F(SupervisorTest, WhatAnswersIsNotReplacedBecauseItIsNotReady) {
  SupervisorLimits limits = Quick();
  limits.check_every = absl::Milliseconds(10);
  limits.hung = absl::Milliseconds(50);
  SupervisedProgram program = Shell("front", kServe);
  int asked = 0;
  program.alive = [&asked]() -> absl::Status {
    if (++asked == 30) ::kill(::getpid(), SIGTERM);
    return absl::OkStatus();
  };
  const absl::Status status = Run({program}, limits, [&](const SupervisorEvent& event) {
    if (event.kind == Kind::kReady) std::filesystem::remove(temp_.path() + "/front.ready");
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(Count(Kind::kDied), 0);
}

TEST_F(SupervisorTest, WhatIsStartedAgainIsReadyWhenItAnswers) {
  SupervisedProgram program = Shell("front", kServe);
  int ready = 0, asked = 0;
  program.alive = [] { return absl::OkStatus(); };  // nothing says that it hangs, long before it listens
  program.answers = [&asked]() -> absl::Status {
    return ++asked < 5 ? absl::UnavailableError("refused") : absl::OkStatus();
  };
  const absl::Status status = Run({program}, Quick(), [&](const SupervisorEvent& event) {
    if (event.kind != Kind::kReady) return;
    const bool first = ++ready == 1;
    ::kill(first ? event.pid : ::getpid(), first ? SIGKILL : SIGTERM);
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(ready, 2);
  EXPECT_EQ(asked, 5);
}

TEST_F(SupervisorTest, WhatCannotBeStartedAgainIsTriedAgain) {
  const std::string program = temp_.path() + "/program";
  std::filesystem::copy("/bin/sh", program);
  SupervisedProgram victim = Shell("victim", kServe);
  victim.argv.front() = program;
  int ready = 0;
  const absl::Status status = Run({victim}, Quick(), [&](const SupervisorEvent& event) {
    if (event.kind == Kind::kReady && ready++ == 0) {
      std::filesystem::rename(program, program + ".away");
      ::kill(event.pid, SIGKILL);
    } else if (event.kind == Kind::kReady) {
      ::kill(::getpid(), SIGTERM);
    } else if (event.kind == Kind::kDied && Count(Kind::kDied) == 3) {
      std::filesystem::rename(program + ".away", program);
    }
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(ready, 2);
}

TEST_F(SupervisorTest, KillsWhatNeverGetsHealthy) {
  SupervisorLimits limits = Quick();
  limits.start_max = absl::Milliseconds(200);
  const absl::Status status = Run({Shell("silent", "exec sleep 100")}, limits);
  EXPECT_THAT(std::string(status.message().data(), status.message().size()), HasSubstr("no file yet"));
}

TEST_F(SupervisorTest, KillsWhatIgnoresSigterm) {
  SupervisorLimits limits = Quick();
  limits.stop_max = absl::Milliseconds(200);
  const absl::Time begin = absl::Now();
  const absl::Status status =
      Run({Shell("stubborn", "trap '' TERM; : > \"$1\"; while :; do sleep 0.02; done")}, limits, [](const auto& event) {
        if (event.kind == Kind::kAllReady) ::kill(::getpid(), SIGTERM);
      });
  EXPECT_TRUE(status.ok());
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
  EXPECT_THAT(events_[events_.size() - 2].detail, HasSubstr("killed"));
}

TEST_F(SupervisorTest, TheFrontIsStartedLastAndHasEndedBeforeTheOthersAreTold) {
  // Each "server" notes when it is told to stop and when it has ended; the front takes its time.
  const auto noting = [&](const std::string& name, const std::string& pause) {
    const std::string log = temp_.path() + "/log";
    return Shell(name, "echo start " + name + " >> " + log + "; trap 'echo told " + name + " >> " + log + "; sleep " +
                           pause + "; echo ended " + name + " >> " + log +
                           "; exit 0' TERM; : > \"$1\"; while :; do sleep 0.02; done");
  };
  SupervisedProgram front = noting("front", "0.3");
  front.uses_the_others = true;
  const absl::Status status = Run({noting("a", "0"), noting("b", "0"), front}, Quick(), [](const auto& event) {
    if (event.kind == Kind::kAllReady) ::kill(::getpid(), SIGTERM);
  });
  EXPECT_TRUE(status.ok()) << status;
  std::ifstream in(temp_.path() + "/log");
  const std::string log{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  EXPECT_GT(log.find("start front"), log.find("start a"));
  EXPECT_GT(log.find("start front"), log.find("start b"));
  EXPECT_LT(log.find("ended front"), log.find("told a")) << log;
  EXPECT_LT(log.find("ended front"), log.find("told b")) << log;
}

TEST_F(SupervisorTest, AProgramHasTheEnvironmentThatItIsGivenAndNoOther) {
  ::setenv("CARREL_MODEL_API_KEY", "secret", 1);
  const std::string out = temp_.path() + "/env";
  SupervisedProgram program = Shell("server", "env > " + out + "; " + kServe);
  program.env = {"PATH=/usr/bin:/bin", "ONLY=this"};
  const absl::Status status = Run({program}, Quick(), [](const auto& event) {
    if (event.kind == Kind::kAllReady) ::kill(::getpid(), SIGTERM);
  });
  ::unsetenv("CARREL_MODEL_API_KEY");
  EXPECT_TRUE(status.ok()) << status;
  std::ifstream in(out);
  const std::string env{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  EXPECT_THAT(env, HasSubstr("ONLY=this"));
  EXPECT_THAT(env, testing::Not(HasSubstr("secret")));
}

TEST_F(SupervisorTest, AnotherUserHasNoGroupsAndNoWayBack) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: an ordinary user's programs run as that user";
  ASSERT_EQ(::chmod(temp_.path().c_str(), 0777), 0);
  const std::string out = temp_.path() + "/status";
  SupervisedProgram program = Shell("server", "cat /proc/self/status > " + out + "; " + kServe);
  program.uid = 54321;
  const absl::Status status = Run({program}, Quick(), [](const auto& event) {
    if (event.kind == Kind::kAllReady) ::kill(::getpid(), SIGTERM);
  });
  EXPECT_TRUE(status.ok()) << status;
  std::ifstream in(out);
  const std::string facts{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  EXPECT_THAT(facts, HasSubstr("Uid:\t54321\t54321\t54321\t54321"));
  EXPECT_THAT(facts, HasSubstr("Gid:\t54321\t54321\t54321\t54321"));
  EXPECT_THAT(facts, testing::ContainsRegex("Groups:[ \t]*\n"));
  EXPECT_THAT(facts, HasSubstr("CapEff:\t0000000000000000"));
  EXPECT_THAT(facts, HasSubstr("NoNewPrivs:\t1"));
}

}  // namespace
}  // namespace carrel::cli
