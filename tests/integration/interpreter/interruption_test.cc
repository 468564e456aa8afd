// Cancelling, interrupting and the time limit, in every phase in which code can be: what is kept, and that the truth is
// told about it.
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/interpreter/jailed_test.h"

namespace carrel::testing {
namespace {

namespace v1 = interpreter::v1;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

struct Phase {
  const char* name;
  const char* code;       // prints "there\n" when it is in the phase
  bool kept;              // after the time limit and after a cancelled call
  bool stops_when_asked;  // one Interrupt ends it
};

const Phase kPhases[] = {
    {"Sleeping", "import time\nprint('there')\ntime.sleep(60)", true, true},
    {"Looping", "print('there')\nwhile True: pass", true, true},
    {"InACLoop", "import itertools\nprint('there')\nsum(itertools.repeat(1))", false, false},
    {"Importing",
     "open('slow_module.py', 'w').write('import time\\nprint(\"there\")\\nwhile True: time.sleep(0.01)')\n"
     "import slow_module",
     true, true},
    {"PrintingAgainstAFullPipe", "print('there')\nwhile True: print('x' * 1000)", true, true},
    {"ShowingThings", "print('there')\nwhile True: display('x')", true, true},
    {"WaitingForAChild", "import subprocess\nprint('there')\nsubprocess.run(['sleep', '60'])", true, true},
    {"WaitingForAShell", "print('there')\n!sleep 60", true, true},
    {"InOsSystem", "import os\nprint('there')\nos.system('sleep 60')\nwhile True: pass", true, false},
    {"JoiningAThread",
     "import threading, time\nthread = threading.Thread(target=time.sleep, args=(60,), daemon=True)\nthread.start()\n"
     "print('there')\nthread.join()",
     true, true},
    {"InFinally", "import time\nprint('there')\ntry:\n    time.sleep(60)\nfinally:\n    time.sleep(60)", true, false},
    {"InAnExceptionHandler",
     "import time\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    print('there')\n    time.sleep(60)", true, true},
    {"InTopLevelAwait", "import asyncio\nprint('there')\nawait asyncio.sleep(60)", true, true},
    {"InMultiprocessing",
     "import multiprocessing, time\nwith multiprocessing.Pool(2) as pool:\n    print('there')\n"
     "    pool.map(time.sleep, [60, 60])",
     true, true},
    {"InNumpy", "import numpy as np\nprint('there')\nwhile True: np.linalg.svd(np.ones((200, 200)))", true, true},
    {"IgnoringTheInterrupt",
     "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('there')\nwhile True: pass", false, false},
    {"SwallowingTheInterrupt",
     "import time\nprint('there')\nwhile True:\n    try:\n        while True: time.sleep(0.001)\n"
     "    except BaseException: pass",
     false, false},
    {"BlockingTheSignal",
     "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\nprint('there')\ntime.sleep(60)",
     false, false},
};

class InterruptionTest : public JailedTest {
 protected:
  // Starts the phase's code, waits until it is there, calls `act`, and reads on (unless `act` cancelled the call).
  template <typename Act>
  static Ran RunUntilThere(const Phase& phase, uint64_t wall_ms, bool read_on, Act act) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    v1::ExecuteRequest request;
    request.set_session_id(session_);
    request.set_code(phase.code);
    request.mutable_limits()->set_wall_ms(wall_ms);
    const auto reader = client_->stub().Execute(&context, request);
    Ran ran;
    v1::ExecuteEvent event;
    while (ran.out.find("there\n") == std::string::npos && reader->Read(&event)) ran.out += event.stdout();
    EXPECT_THAT(ran.out, HasSubstr("there\n"));
    std::this_thread::sleep_for(milliseconds(50));
    act(context);
    while (reader->Read(&event)) {
      if (read_on && event.has_finished()) ran.outcome = event.finished();
    }
    ran.status = reader->Finish();
    return ran;
  }
  static v1::Session Look() {
    grpc::ClientContext context;
    v1::GetSessionRequest request;
    request.set_session_id(session_);
    v1::Session session;
    EXPECT_TRUE(client_->stub().GetSession(&context, request, &session).ok());
    return session;
  }
  static v1::Session WaitUntilIdle() {
    v1::Session session = Look();
    for (int i = 0; i < 500 && session.state() == v1::SESSION_STATE_BUSY; ++i) {
      std::this_thread::sleep_for(milliseconds(20));
      session = Look();
    }
    return session;
  }
  static void Interrupt() {
    grpc::ClientContext context;
    v1::InterruptRequest request;
    request.set_session_id(session_);
    v1::InterruptResponse response;
    EXPECT_TRUE(client_->stub().Interrupt(&context, request, &response).ok());
    EXPECT_TRUE(response.interrupted());
  }
};

class InterruptionPhaseTest : public InterruptionTest, public ::testing::WithParamInterface<Phase> {};

TEST_P(InterruptionPhaseTest, ByTheTimeLimit) {
  const Phase& phase = GetParam();
  const Ran ran = RunUntilThere(phase, 1500, true, [](auto&) {});
  EXPECT_EQ(ran.outcome.kind(), v1::TIME_LIMIT) << ran.outcome.ShortDebugString();
  EXPECT_EQ(ran.outcome.state_kept(), phase.kept) << ran.outcome.message();
  EXPECT_THAT(ran.outcome.message(), HasSubstr(phase.kept ? "state is kept" : "the session was ended"));
  EXPECT_EQ(Look().state(), phase.kept ? v1::SESSION_STATE_READY : v1::SESSION_STATE_DEAD);
  phase.kept ? ExpectKept() : ExpectDead();
}

TEST_P(InterruptionPhaseTest, ByCancellingTheCall) {
  const Phase& phase = GetParam();
  const Ran ran = RunUntilThere(phase, 20'000, false, [](grpc::ClientContext& context) { context.TryCancel(); });
  EXPECT_EQ(ran.status.error_code(), grpc::StatusCode::CANCELLED);
  const v1::Session session = WaitUntilIdle();
  EXPECT_EQ(session.state(), phase.kept ? v1::SESSION_STATE_READY : v1::SESSION_STATE_DEAD) << session.death_reason();
  EXPECT_THAT(session.death_reason(), phase.kept ? HasSubstr("") : HasSubstr("cancelled"));
  phase.kept ? ExpectKept() : ExpectDead();
}

TEST_P(InterruptionPhaseTest, ByInterrupt) {
  const Phase& phase = GetParam();
  if (!phase.stops_when_asked) return;  // what one interrupt cannot end goes on, until its time limit
  const Ran ran = RunUntilThere(phase, 20'000, true, [](auto&) { Interrupt(); });
  EXPECT_EQ(ran.outcome.kind(), v1::RAISED) << ran.outcome.ShortDebugString();
  EXPECT_EQ(ran.outcome.exception().name(), "KeyboardInterrupt");
  EXPECT_TRUE(ran.outcome.state_kept());
  EXPECT_LT(ran.outcome.usage().wall_ms(), 5000U);
  ExpectKept();
}

INSTANTIATE_TEST_SUITE_P(Phases, InterruptionPhaseTest, ::testing::ValuesIn(kPhases),
                         [](const auto& phase) { return std::string(phase.param.name); });

TEST_F(InterruptionTest, FromItsFirstMomentOn) {
  for (int round = 0; round < 30; ++round) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    v1::ExecuteRequest request;
    request.set_session_id(session_);
    request.set_code("import time\ntime.sleep(20)");
    const auto reader = client_->stub().Execute(&context, request);
    v1::ExecuteEvent event;
    ASSERT_TRUE(reader->Read(&event) && event.has_started());
    Interrupt();
    while (reader->Read(&event)) {
    }
    EXPECT_EQ(event.finished().exception().name(), "KeyboardInterrupt")
        << round << ": " << event.finished().ShortDebugString();
    EXPECT_TRUE(reader->Finish().ok());
    EXPECT_EQ(Run("6 * 7").outcome.kind(), v1::COMPLETED) << "it was not for the next call";
  }
  ExpectKept();
}

TEST_F(InterruptionTest, AskedTwiceReachesTheChildrenToo) {
  const Ran ran = RunUntilThere({"", "import os\nprint('there')\nos.system('sleep 60')\nprint('after')", true, true},
                                20'000, true, [](auto&) {
                                  Interrupt();
                                  std::this_thread::sleep_for(milliseconds(100));
                                  Interrupt();
                                });
  EXPECT_THAT(ran.outcome.kind(), ::testing::AnyOf(v1::RAISED, v1::COMPLETED)) << ran.outcome.ShortDebugString();
  EXPECT_LT(ran.outcome.usage().wall_ms(), 5000U);
  ExpectKept();
}

TEST_F(InterruptionTest, WithOneInterruptTheChildrenGoOn) {
  Run("import subprocess, time\nserver = subprocess.Popen(['sleep', '60'])");
  const Ran ran =
      RunUntilThere({"", "print('there')\ntime.sleep(60)", true, true}, 20'000, true, [](auto&) { Interrupt(); });
  EXPECT_EQ(ran.outcome.exception().name(), "KeyboardInterrupt");
  EXPECT_EQ(Run("server.poll()").result(), "") << "None: it still runs";
  Run("server.kill(); server.wait()");
}

TEST_F(InterruptionTest, ACancelledCallThatNeverBeganLeavesTheOneThatRuns) {
  std::thread first([] {
    const Ran ran = client_->Run(session_, "import time\ntime.sleep(1.5)\nprint('undisturbed')");
    EXPECT_EQ(ran.out, "undisturbed\n") << ran.outcome.ShortDebugString();
  });
  std::this_thread::sleep_for(milliseconds(300));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + milliseconds(300));
  v1::ExecuteRequest request;
  request.set_session_id(session_);
  request.set_code("kept = 'lost'");
  v1::ExecuteEvent event;
  const auto reader = client_->stub().Execute(&context, request);
  EXPECT_FALSE(reader->Read(&event)) << "it has not begun";
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  first.join();
  ExpectKept();
}

TEST_F(InterruptionTest, AThrowAwayCallCancelledWhileItStartsLeavesNothing) {
  for (int micros = 0; micros < 30'000; micros += 1'500) {
    grpc::ClientContext context;
    v1::ExecuteRequest request;
    request.set_code("import time\ntime.sleep(60)");
    const auto reader = client_->stub().Execute(&context, request);
    std::this_thread::sleep_for(std::chrono::microseconds(micros));
    context.TryCancel();
    v1::ExecuteEvent event;
    while (reader->Read(&event)) {
    }
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  size_t left = 0;
  for (int i = 0; i < 200; ++i) {
    grpc::ClientContext context;
    v1::ListSessionsResponse response;
    ASSERT_TRUE(client_->stub().ListSessions(&context, {}, &response).ok());
    left = static_cast<size_t>(response.sessions_size());
    if (left == 1) break;  // the test's own
    std::this_thread::sleep_for(milliseconds(50));
  }
  EXPECT_EQ(left, 1U);
}

TEST_F(InterruptionTest, DeletingASessionEndsItsCallAsCancelled) {
  const std::string session = client_->NewSession();
  std::thread deleter([&] {
    std::this_thread::sleep_for(milliseconds(400));
    EXPECT_TRUE(client_->Delete(session));
  });
  const Ran ran = client_->Run(session, "print('there')\nwhile True: pass");
  deleter.join();
  EXPECT_EQ(ran.outcome.kind(), v1::CANCELLED) << ran.outcome.ShortDebugString();
  EXPECT_EQ(ran.out, "there\n");
  EXPECT_FALSE(ran.outcome.state_kept());
}

TEST_F(InterruptionTest, NoOutputIsLostToASlowReader) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  v1::ExecuteRequest request;
  request.set_session_id(session_);
  request.mutable_limits()->set_output_bytes(32 << 20);
  request.set_code("for n in range(200_000): print(f'{n:06}', 'y' * 92)\nkept = 'kept'");
  const auto reader = client_->stub().Execute(&context, request);
  std::string out;
  v1::ExecuteEvent event;
  for (int events = 0; reader->Read(&event); ++events) {
    if (events < 100) std::this_thread::sleep_for(milliseconds(5));
    out += event.stdout();
  }
  ASSERT_TRUE(reader->Finish().ok());
  ASSERT_EQ(out.size(), 200'000U * 100U);
  for (size_t n = 0; n < 200'000; ++n) {
    ASSERT_EQ(std::stoul(out.substr(n * 100, 6)), n) << "out of order";
  }
  ExpectKept();
}

}  // namespace
}  // namespace carrel::testing
