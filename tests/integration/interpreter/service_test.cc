// The service over a real gRPC server and the real Python driver, without the jail: what a client sees.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "interpreter/service/code_interpreter_service.h"
#include "sandbox/base/temp_dir.h"
#include "tests/fakes/plain_jail.h"
#include "tests/integration/interpreter/client.h"

namespace carrel::testing {
namespace {

namespace v1 = interpreter::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ServiceTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    jails_ = MakePlainJails(PythonDriver()).release();
    table_ = new interpreter::SessionTable({.sessions_max = 6, .sessions_per_owner_max = 5, .calls_waiting_max = 1},
                                           *jails_);
    service_ = interpreter::MakeCodeInterpreterService({.version = "test"}, *table_).release();
    directory_ = new TempDir(*TempDir::Create());
    const std::string address = "unix:" + directory_->path() + "/s";
    server_ = grpc::ServerBuilder()
                  .AddListeningPort(address, grpc::InsecureServerCredentials())
                  .RegisterService(service_)
                  .BuildAndStart()
                  .release();
    client_ = new Client(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
    session_ = new std::string(client_->NewSession());
    ASSERT_FALSE(session_->empty());
  }
  static void TearDownTestSuite() {
    table_->Stop();
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
    delete client_;
    delete server_;
    delete service_;
    delete table_;
    delete jails_;
    delete directory_;
    delete session_;
  }

  static inline sandbox::JailMaker* jails_ = nullptr;
  static inline interpreter::SessionTable* table_ = nullptr;
  static inline v1::CodeInterpreter::Service* service_ = nullptr;
  static inline grpc::Server* server_ = nullptr;
  static inline Client* client_ = nullptr;
  static inline TempDir* directory_ = nullptr;
  static inline std::string* session_ = nullptr;  // shared by the tests that do not hurt it
};

TEST_F(ServiceTest, StreamsOutputResultFigureAndFileInOrder) {
  const Ran ran = client_->Run(*session_,
                               "import sys\nimport matplotlib.pyplot as plt\nprint('one')\nplt.plot([1, 2]); "
                               "plt.show()\nprint('two')\nprint('oops', file=sys.stderr)\n"
                               "open('a.csv', 'w').write('x,y\\n')\n6 * 7");
  ASSERT_TRUE(ran.status.ok()) << ran.status.error_message();
  EXPECT_EQ(ran.outcome.kind(), v1::COMPLETED) << ran.outcome.DebugString();
  EXPECT_THAT(ran.order,
              ElementsAre("started", "stdout", "display", "stdout", "stderr", "display", "artifact", "finished"));
  EXPECT_EQ(ran.out, "one\ntwo\n");
  EXPECT_EQ(ran.err, "oops\n");
  EXPECT_EQ(ran.result(), "42");
  ASSERT_EQ(ran.displays.size(), 2u);
  EXPECT_THAT(ran.displays[0].data().at("image/png"), ::testing::StartsWith("\x89PNG"));
  ASSERT_EQ(ran.artifacts.size(), 1u);
  EXPECT_EQ(ran.artifacts[0].path(), "a.csv");
  EXPECT_EQ(ran.artifacts[0].media_type(), "text/csv");
  EXPECT_EQ(ran.artifacts[0].sha256(), "9c6536d38fa37da58fac066342747e6d20fdace12ab5b287cf04506f2afe95b0");
  EXPECT_TRUE(ran.outcome.state_kept());
}

TEST_F(ServiceTest, VariablesLiveOn) {
  EXPECT_EQ(client_->Run(*session_, "kept = 'here'").outcome.kind(), v1::COMPLETED);
  EXPECT_EQ(client_->Run(*session_, "kept").result(), "'here'");
}

TEST_F(ServiceTest, AnExceptionIsRaisedWithItsTraceback) {
  const Ran ran = client_->Run(*session_, "def f():\n    return 1 / 0\nf()");
  EXPECT_EQ(ran.outcome.kind(), v1::RAISED);
  EXPECT_EQ(ran.outcome.exception().name(), "ZeroDivisionError");
  EXPECT_EQ(ran.outcome.exception().value(), "division by zero");
  EXPECT_THAT(ran.outcome.exception().traceback(), HasSubstr("line 2, in f"));
  EXPECT_THAT(ran.outcome.exception().traceback(), ::testing::Not(HasSubstr("\x1b")));
  EXPECT_TRUE(ran.outcome.state_kept());
}

TEST_F(ServiceTest, SysExitKeepsTheSession) {
  ASSERT_EQ(client_->Run(*session_, "before = 1").outcome.kind(), v1::COMPLETED);
  const Ran ran = client_->Run(*session_, "import sys; sys.exit(3)");
  EXPECT_EQ(ran.outcome.kind(), v1::EXITED);
  EXPECT_EQ(ran.outcome.exit_code(), 3);
  EXPECT_EQ(client_->Run(*session_, "before").result(), "1");
}

TEST_F(ServiceTest, ATimeLimitInterruptsAndKeepsTheState) {
  v1::Limits limits;
  limits.set_wall_ms(300);
  ASSERT_EQ(client_->Run(*session_, "y = 5").outcome.kind(), v1::COMPLETED);
  const Ran ran = client_->Run(*session_, "print('soon', end='')\nwhile True: pass", limits);
  EXPECT_EQ(ran.outcome.kind(), v1::TIME_LIMIT);
  EXPECT_EQ(ran.outcome.limit(), v1::LIMIT_WALL);
  EXPECT_EQ(ran.outcome.limit_value(), 300u);
  EXPECT_EQ(ran.out, "soon");
  EXPECT_TRUE(ran.outcome.state_kept());
  EXPECT_EQ(client_->Run(*session_, "y").result(), "5");
}

TEST_F(ServiceTest, CodeThatIgnoresTheInterruptDiesWithItsSession) {
  const std::string id = client_->NewSession();
  v1::Limits limits;
  limits.set_wall_ms(200);
  const Ran ran = client_->Run(
      id, "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('kept', end='')\nwhile True: pass",
      limits);
  EXPECT_EQ(ran.outcome.kind(), v1::TIME_LIMIT);
  EXPECT_FALSE(ran.outcome.state_kept());
  EXPECT_EQ(ran.out, "kept");
  const Ran next = client_->Run(id, "1");
  EXPECT_EQ(next.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(next.status.error_message(), HasSubstr("time limit"));
  EXPECT_TRUE(client_->Delete(id));
  EXPECT_FALSE(client_->Delete(id));
}

TEST_F(ServiceTest, OutputOverTheLimitIsCountedAndDropped) {
  v1::Limits limits;
  limits.set_output_bytes(5000);
  const Ran ran = client_->Run(*session_, "print('x' * 10_000_000)", limits);
  EXPECT_EQ(ran.outcome.kind(), v1::COMPLETED);
  EXPECT_EQ(ran.out.size(), 5000u);
  EXPECT_EQ(ran.outcome.usage().stdout_bytes(), 10'000'001u);
  EXPECT_THAT(ran.outcome.limits_touched(), ElementsAre(v1::LIMIT_OUTPUT));
}

TEST_F(ServiceTest, BrokenUtf8IsReplaced) {
  const Ran ran = client_->Run(*session_, "import os; os.write(1, b'a\\xff\\xc3\\xa4\\xe2\\x82')\nNone");
  EXPECT_EQ(ran.out, "a\xEF\xBF\xBD\xC3\xA4\xEF\xBF\xBD");
}

TEST_F(ServiceTest, InterruptRaisesKeyboardInterrupt) {
  std::thread other([&] {
    v1::InterruptRequest request;
    request.set_session_id(*session_);
    v1::InterruptResponse response;
    for (int i = 0; i < 100 && !response.interrupted(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      grpc::ClientContext context;
      EXPECT_TRUE(client_->stub().Interrupt(&context, request, &response).ok());
    }
  });
  const Ran ran = client_->Run(*session_, "import time\ntime.sleep(30)");
  other.join();
  EXPECT_EQ(ran.outcome.kind(), v1::RAISED);
  EXPECT_EQ(ran.outcome.exception().name(), "KeyboardInterrupt");
}

TEST_F(ServiceTest, ACancelledCallKeepsTheSession) {
  ASSERT_EQ(client_->Run(*session_, "z = 9").outcome.kind(), v1::COMPLETED);
  {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
    v1::ExecuteRequest request;
    request.set_session_id(*session_);
    request.set_code("while True: pass");
    const auto reader = client_->stub().Execute(&context, request);
    v1::ExecuteEvent event;
    while (reader->Read(&event)) {
    }
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  EXPECT_EQ(client_->Run(*session_, "z").result(), "9");
}

TEST_F(ServiceTest, CallsWaitForTheirTurnAndTooManyAreRefused) {
  std::thread first(
      [&] { EXPECT_EQ(client_->Run(*session_, "import time; time.sleep(1.0)").outcome.kind(), v1::COMPLETED); });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  std::thread second([&] { EXPECT_EQ(client_->Run(*session_, "1").outcome.kind(), v1::COMPLETED); });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_EQ(client_->Run(*session_, "2").status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  first.join();
  second.join();
}

TEST_F(ServiceTest, AbortIsSignalled) {
  const std::string id = client_->NewSession();
  const Ran ran = client_->Run(id, "print('last words')\nimport os; os.abort()");
  EXPECT_EQ(ran.outcome.kind(), v1::SIGNALLED);
  EXPECT_EQ(ran.outcome.signal(), SIGABRT);
  EXPECT_EQ(ran.out, "last words\n");
  EXPECT_FALSE(ran.outcome.state_kept());
  EXPECT_TRUE(client_->Delete(id));
}

TEST_F(ServiceTest, AForgedFrameEndsTheSessionOnly) {
  const std::string id = client_->NewSession();
  const Ran ran = client_->Run(id, "import os; os.write(3, b'\\x05\\0\\0\\0XXXXX')\nwhile True: pass");
  EXPECT_EQ(ran.outcome.kind(), v1::SIGNALLED);
  EXPECT_FALSE(ran.outcome.state_kept());
  EXPECT_THAT(ran.outcome.message(), HasSubstr("channel"));
  EXPECT_TRUE(client_->Delete(id));
}

TEST_F(ServiceTest, FilesGoUpAndDown) {
  const std::string bytes = std::string(3 << 20, 'q') + "end";
  EXPECT_TRUE(client_->Upload(*session_, "in/data.bin", bytes).ok());
  EXPECT_EQ(client_->Upload(*session_, "in/data.bin", "x").error_code(), grpc::StatusCode::ALREADY_EXISTS);
  const Ran ran = client_->Run(*session_, "b = open('in/data.bin','rb').read(); len(b)");
  EXPECT_EQ(ran.result(), std::to_string(bytes.size()));
  EXPECT_TRUE(ran.artifacts.empty()) << "an upload is no artifact";
  EXPECT_EQ(client_->Download(*session_, "in/data.bin"), bytes);
  EXPECT_EQ(client_->Upload(*session_, "../up", "x").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(client_->Download(*session_, "none"), "error 5");
}

TEST_F(ServiceTest, AThrowAwayCallReturnsItsFilesAndLingers) {
  v1::ExecuteRequest request;
  request.set_code("open('r.txt','w').write('hello'); import os; os.symlink('/etc/passwd', 'link'); None");
  request.set_return_files(v1::RETURN_FILES_BYTES);
  Ran ran = client_->Execute(request);
  ASSERT_EQ(ran.artifacts.size(), 1u) << ran.status.error_message();
  EXPECT_EQ(ran.artifacts[0].content(), "hello");
  ASSERT_EQ(ran.outcome.skipped_size(), 1);
  EXPECT_EQ(ran.outcome.skipped(0).reason(), "symlink");
  EXPECT_EQ(client_->Download(ran.session_id, "r.txt"), "error 5") << "nothing lingers when the bytes were returned";

  request.set_return_files(v1::RETURN_FILES_REFERENCES);
  ran = client_->Execute(request);
  EXPECT_EQ(client_->Download(ran.session_id, "r.txt"), "hello");
  EXPECT_EQ(client_->Run(ran.session_id, "1").status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(client_->Delete(ran.session_id));
}

TEST_F(ServiceTest, AnotherOwnerSeesNothing) {
  v1::ExecuteRequest request;
  request.set_owner("somebody else");
  request.set_session_id(*session_);
  request.set_code("1");
  EXPECT_EQ(client_->Execute(request).status.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServiceTest, ABadLimitNamesItsField) {
  v1::Limits limits;
  limits.set_wall_ms(10'000'000);
  const Ran ran = client_->Run(*session_, "1", limits);
  EXPECT_EQ(ran.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(ran.status.error_message(), HasSubstr("limits.wall_ms"));
  EXPECT_THAT(ran.status.error_message(), HasSubstr("600000"));
}

TEST_F(ServiceTest, AForkedChildDoesNotAnswerForTheSession) {
  const Ran ran = client_->Run(*session_, "import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\npid > 0");
  EXPECT_EQ(ran.result(), "True");
  EXPECT_EQ(client_->Run(*session_, "1 + 1").result(), "2");
}

TEST_F(ServiceTest, AnInterruptAtAnyMomentKeepsTheState) {
  const std::string id = client_->NewSession();
  ASSERT_EQ(client_->Run(id, "kept = 1\nfrom IPython.display import display, HTML").outcome.kind(), v1::COMPLETED);
  const std::vector<std::string> cells = {
      "for i in range(300_000): pass",
      "for i in range(300): display(HTML('<b>x</b>'))",
      "for i in range(3000): print(i)",
      "import asyncio\nawait asyncio.sleep(0.005)",
      "1 / 0",
      "import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()",
      "def f(n): return n and f(n - 1)\n[f(200) for _ in range(50)][0]",
  };
  std::atomic<bool> over = false;
  std::thread interrupter([&] {
    v1::InterruptRequest request;
    request.set_session_id(id);
    for (int i = 0; !over; ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds(200 + i * 37 % 4000));
      v1::InterruptResponse response;
      grpc::ClientContext context;
      EXPECT_TRUE(client_->stub().Interrupt(&context, request, &response).ok());
    }
  });
  int interrupted = 0;
  for (int round = 0; round < 140; ++round) {
    const Ran ran = client_->Run(id, cells[static_cast<size_t>(round) % cells.size()]);
    ASSERT_TRUE(ran.status.ok()) << round << ": " << ran.status.error_message();
    ASSERT_THAT(ran.outcome.kind(), ::testing::AnyOf(v1::COMPLETED, v1::RAISED)) << ran.outcome.DebugString();
    ASSERT_TRUE(ran.outcome.state_kept());
    interrupted += ran.outcome.exception().name() == "KeyboardInterrupt" ? 1 : 0;
  }
  over = true;
  interrupter.join();
  EXPECT_GT(interrupted, 10);
  EXPECT_EQ(client_->Run(id, "kept").result(), "1");
  EXPECT_TRUE(client_->Delete(id));
}

TEST_F(ServiceTest, WorksLikeANotebook) {
  EXPECT_EQ(
      client_->Run(*session_, "import asyncio\nasync def f():\n    await asyncio.sleep(0.01)\n    return 5\nawait f()")
          .result(),
      "5");
  EXPECT_EQ(client_->Run(*session_, "6 * 7;").result(), "") << "a semicolon silences";
  EXPECT_EQ(client_->Run(*session_, "_ if False else 3").result(), "3");
  EXPECT_EQ(client_->Run(*session_, "!echo from a shell").out, "from a shell\n");
  EXPECT_THAT(client_->Run(*session_, "%timeit -n1 -r1 1").out, HasSubstr("per loop"));
  const Ran frame = client_->Run(*session_, "import pandas as pd; pd.DataFrame({'a': [1]})");
  ASSERT_EQ(frame.displays.size(), 1u);
  EXPECT_THAT(frame.displays[0].data().at("text/html"), HasSubstr("<td>1</td>"));
  EXPECT_TRUE(frame.displays[0].is_result());
  const Ran left_open = client_->Run(*session_, "import matplotlib.pyplot as plt; plt.plot([1]);");
  ASSERT_EQ(left_open.displays.size(), 1u) << "a figure left open is shown";
  EXPECT_EQ(left_open.displays[0].data().count("image/png"), 1u);
  const Ran asked = client_->Run(*session_, "input('name? ')");
  EXPECT_EQ(asked.outcome.exception().name(), "EOFError");
  EXPECT_THAT(asked.outcome.exception().value(), HasSubstr("input() is not available"));
  EXPECT_EQ(client_->Run(*session_, "exit()").outcome.kind(), v1::EXITED);
}

TEST_F(ServiceTest, HostileObjectsHurtOnlyTheirCell) {
  const Ran str = client_->Run(*session_, "class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E");
  EXPECT_EQ(str.outcome.exception().name(), "E");
  const Ran repr = client_->Run(*session_, "class R:\n    def __repr__(self): raise KeyError('no')\nR()");
  EXPECT_EQ(repr.outcome.kind(), v1::COMPLETED);
  EXPECT_THAT(repr.err, HasSubstr("KeyError"));
  v1::Limits limits;
  limits.set_display_bytes(10'000);
  const Ran large = client_->Run(*session_, "'x' * 1_000_000", limits);
  EXPECT_EQ(large.outcome.kind(), v1::COMPLETED);
  EXPECT_TRUE(large.displays.empty());
  EXPECT_THAT(large.outcome.limits_touched(), ElementsAre(v1::LIMIT_DISPLAY));
  EXPECT_EQ(client_->Run(*session_, "import sys; sys.stderr.close(); sys.exit('bye')").err, "bye\n");
  EXPECT_EQ(client_->Run(*session_, "sys.stderr = sys.__stderr__ = open(2, 'w', closefd=False); 1").result(), "1");
  EXPECT_EQ(client_
                ->Run(*session_,
                      "import signal\nsignal.signal(signal.SIGALRM, lambda *a: 1 / 0)\n"
                      "signal.setitimer(signal.ITIMER_REAL, 0.05); 2")
                .result(),
            "2");
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(client_->Run(*session_, "3").result(), "3");
}

}  // namespace
}  // namespace carrel::testing
