// The traps of forking an interpreter (SANDBOX.md §2), each in the real jail, for sessions of the pool and sessions
// that were forked on request: whatever two of them share, they do not draw, see or hold the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/interpreter/client.h"
#include "tests/integration/interpreter/jailed_server.h"

namespace carrel::testing {
namespace {

namespace v1 = interpreter::v1;
using ::testing::HasSubstr;

// Expressions that must differ from one session to the next. Some end in what a loaded module made before the fork.
constexpr const char* kDrawn[] = {
    "random.random()",
    "random.getrandbits(64)",
    "random.Random().random()",
    "random.SystemRandom().random()",
    "np.random.random()",
    "np.random.randint(1 << 60)",
    "np.random.randn()",
    "np.random.default_rng().random()",
    "np.random.mtrand._rand.random_sample()",
    "np.random.permutation(1000)[:8].tolist()",
    "st.norm.rvs()",
    "st.norm.rvs(size=3).tolist()",
    "pd.Series(range(1000)).sample(8).tolist()",
    "secrets.token_hex(8)",
    "uuid.uuid4().hex",
    "uuid.uuid1().hex",
    "uuid.getnode()",
    "os.urandom(8).hex()",
    "ssl.RAND_bytes(8).hex()",
    "next(tempfile._get_candidate_names())",
    "tempfile.mkdtemp()",
    "tempfile.mktemp()",
    "[g for m in list(sys.modules.values()) for g in [getattr(m, '_inst', None)] if isinstance(g, "
    "random.Random)][0].random()",
};
constexpr char kImports[] =
    "import os, sys, random, secrets, ssl, tempfile, time, uuid, numpy as np, pandas as pd, scipy.stats as st";

class TrapsTest : public ::testing::TestWithParam<bool> {
 protected:
  static void SetUpTestSuite() {
    auto server = JailedServer::Start({"--set", "interpreter.pool_size=2"});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = server->release();
    client_ = new Client(grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    v1::Capabilities capabilities;
    ASSERT_TRUE(client_->stub().GetCapabilities(&context, {}, &capabilities).ok());
    runtimes_ = static_cast<uint64_t>(capabilities.runtimes_size());
  }
  static void TearDownTestSuite() {
    delete client_;
    delete server_;
  }
  void SetUp() override { ASSERT_NE(client_, nullptr); }

  static v1::Statistics Statistics() {
    grpc::ClientContext context;
    v1::Statistics statistics;
    EXPECT_TRUE(client_->stub().GetStatistics(&context, {}, &statistics).ok());
    return statistics;
  }

  // From the pool or, by limits that the pool has none of, forked for the request; and checks that it was.
  static std::string NewSession() {
    v1::Limits limits;
    if (GetParam()) {
      // Full: the count is of all runtimes.
      while (Statistics().pool_ready() < 2 * runtimes_) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    } else {
      limits.set_processes(100);
    }
    const char* event = GetParam() ? "started_pooled" : "started_forked";
    const uint64_t before = Statistics().events().at(event);
    const std::string session = client_->NewSession(limits);
    EXPECT_EQ(Statistics().events().at(event), before + 1);
    return session;
  }
  static std::string Result(const std::string& session, const std::string& expression) {
    const Ran ran = client_->Run(session, std::string(kImports) + "\n" + expression);
    EXPECT_EQ(ran.outcome.kind(), v1::COMPLETED) << expression << ": " << ran.outcome.exception().traceback();
    return ran.result();
  }

  static inline JailedServer* server_ = nullptr;
  static inline Client* client_ = nullptr;
  static inline uint64_t runtimes_ = 0;
};

TEST_P(TrapsTest, NoTwoSessionsDrawTheSame) {
  constexpr int kSessions = 4;
  std::vector<std::set<std::string>> drawn(std::size(kDrawn));
  for (int i = 0; i < kSessions; ++i) {
    const std::string session = NewSession();
    for (size_t at = 0; at < std::size(kDrawn); ++at) drawn[at].insert(Result(session, kDrawn[at]));
    EXPECT_TRUE(client_->Delete(session));
  }
  for (size_t at = 0; at < std::size(kDrawn); ++at) EXPECT_EQ(drawn[at].size(), size_t{kSessions}) << kDrawn[at];
}

// Whatever a loaded module keeps, under whichever name: one of them that was forgotten would draw the same.
TEST_P(TrapsTest, NoGeneratorOfALoadedModuleDrawsTheSame) {
  constexpr char kAll[] =
      "kinds = (random.Random, np.random.RandomState, np.random.Generator)\n"
      "found = {id(g): (m.__name__, n, g) for m in list(sys.modules.values()) if m is not sys.modules['__main__']\n"
      "         for n, g in list(getattr(m, '__dict__', {}).items())\n"
      "         if isinstance(g, kinds) and not isinstance(g, random.SystemRandom)}\n"
      "print(*[f'{m}.{n} {g.random()}' for m, n, g in found.values()], sep='\\n')";
  constexpr int kSessions = 3;
  std::set<std::string> drawn;
  size_t generators = 0;
  for (int i = 0; i < kSessions; ++i) {
    const std::string session = NewSession();
    const Ran ran = client_->Run(session, std::string(kImports) + "\n" + kAll);
    ASSERT_EQ(ran.outcome.kind(), v1::COMPLETED) << ran.outcome.exception().traceback();
    std::istringstream lines(ran.out);
    std::string line;
    generators = 0;
    for (; std::getline(lines, line); ++generators) EXPECT_TRUE(drawn.insert(line).second) << line;
    EXPECT_TRUE(client_->Delete(session));
  }
  EXPECT_GE(generators, 2u) << "Python's and numpy's own at least";
}

TEST_P(TrapsTest, ASeedStillMakesThemTheSame) {
  const std::string first = NewSession();
  const std::string second = NewSession();
  for (const char* seeded : {"random.seed(7); r = random.random()", "np.random.seed(7); r = np.random.random()",
                             "r = np.random.default_rng(7).random()", "r = st.norm.rvs(random_state=7)"}) {
    const std::string code = std::string(seeded) + "\nr";
    EXPECT_EQ(Result(first, code), Result(second, code)) << seeded;
  }
  EXPECT_TRUE(client_->Delete(first));
  EXPECT_TRUE(client_->Delete(second));
}

TEST_P(TrapsTest, TheProcessKnowsItsOwnNumbers) {
  const std::string session = NewSession();
  EXPECT_EQ(Result(session,
                   "import multiprocessing as mp, threading\n"
                   "[os.getpid() == int(os.readlink('/proc/self')),\n"
                   " mp.current_process().pid == os.getpid(),\n"
                   " threading.get_native_id() == os.getpid(),\n"
                   " threading.main_thread().ident == threading.get_ident(),\n"
                   " os.sched_getaffinity(0) == os.sched_getaffinity(os.getpid()),\n"
                   " int(open('/proc/self/stat').read().split()[0]) == os.getpid()]"),
            "[True, True, True, True, True, True]");
  EXPECT_TRUE(client_->Delete(session));
}

TEST_P(TrapsTest, ItsClocksBeginWithIt) {
  const std::string session = NewSession();
  // The zygote used seconds of CPU for its imports; a child's own clock begins at its fork.
  EXPECT_EQ(
      Result(session, "[time.process_time() < 1, time.thread_time() < 1, abs(time.time() - time.time_ns() / 1e9) < 1]"),
      "[True, True, True]");
  EXPECT_EQ(Result(session, "a = time.monotonic()\ntime.sleep(0.01)\n0.005 < time.monotonic() - a < 5"), "True");
  EXPECT_TRUE(client_->Delete(session));
}

TEST_P(TrapsTest, NothingIsOpenButItsOwn) {
  const std::string session = NewSession();
  EXPECT_EQ(
      Result(session, "sorted(int(fd) for fd in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + fd))"),
      "[0, 1, 2, 3]");
  EXPECT_EQ(
      Result(session,
             "import gc, io\n"
             "[o.name for o in gc.get_objects() if isinstance(o, io.FileIO) and not o.closed and o.fileno() > 3]"),
      "[]");
  EXPECT_TRUE(client_->Delete(session));
}

TEST_P(TrapsTest, MatplotlibsCachesServeEverySession) {
  const std::string session = NewSession();
  EXPECT_EQ(Result(session,
                   "import matplotlib.pyplot as plt, io\n"
                   "f, a = plt.subplots()\na.set_title('$\\\\int_0^1 x^2$ äöü')\nb = io.BytesIO()\n"
                   "f.savefig(b, format='png')\nf.savefig(io.BytesIO(), format='pdf')\n"
                   "f.savefig(io.BytesIO(), format='svg')\nplt.close(f)\nb.getvalue()[:4]"),
            "b'\\x89PNG'");
  EXPECT_TRUE(client_->Delete(session));
}

TEST_P(TrapsTest, ThreadsAndPoolsWorkAfterTheFork) {
  const std::string session = NewSession();
  EXPECT_EQ(Result(session,
                   "from concurrent.futures import ThreadPoolExecutor\n"
                   "import threading, multiprocessing\n"
                   "with ThreadPoolExecutor(8) as pool: squares = sum(pool.map(lambda n: n * n, range(100)))\n"
                   "with multiprocessing.Pool(2) as pool: lengths = pool.map(len, ['a', 'bb'])\n"
                   "float(np.linalg.det(np.eye(200))), squares, lengths"),
            "(1.0, 328350, [1, 2])");
  EXPECT_TRUE(client_->Delete(session));
}

TEST_P(TrapsTest, NothingOfTheWarmUpCanBeSeen) {
  const std::string session = NewSession();
  EXPECT_EQ(client_->Run(session, "sorted(n for n in globals() if not n.startswith('_'))").result(),
            "['In', 'Out', 'exit', 'get_ipython', 'quit']");
  EXPECT_EQ(
      client_->Run(session, "import os, sys\nIn[1][:6], Out.keys() - {1}, os.listdir('/mnt/data'), os.listdir('/tmp')")
          .result(),
      "('sorted', set(), [], [])");
  const Ran failed = client_->Run(session, "1 / 0");
  EXPECT_THAT(failed.outcome.exception().traceback(), HasSubstr("Cell In[3]"));
  EXPECT_TRUE(client_->Delete(session));
}

TEST_P(TrapsTest, TheHashSeedIsTheZygotesAndThreatModelSaysSo) {
  // Two sessions of one zygote share it, which is why zygotes are replaced; it is not the fixed one of
  // PYTHONHASHSEED=0.
  const std::string first = NewSession();
  const std::string second = NewSession();
  EXPECT_EQ(Result(first, "hash('carrel')"), Result(second, "hash('carrel')"));
  EXPECT_EQ(Result(first, "sys.flags.hash_randomization"), "1");
  EXPECT_TRUE(client_->Delete(first));
  EXPECT_TRUE(client_->Delete(second));
}

INSTANTIATE_TEST_SUITE_P(From, TrapsTest, ::testing::Values(true, false),
                         [](const auto& source) { return source.param ? "ThePool" : "TheZygote"; });

// A zygote that has forked enough is replaced beside the work: sessions go on, and new ones have another hash seed.
TEST(ZygoteReplacement, GivesNewSessionsAnotherHashSeedAndLeavesOldOnesAlone) {
  auto server = JailedServer::Start({"--set", "interpreter.pool_size=0"}, {"--zygote-forks-max", "3"});
  ASSERT_TRUE(server.ok()) << server.status();
  Client client(grpc::CreateChannel((*server)->address(), grpc::InsecureChannelCredentials()));
  const std::string old = client.NewSession();
  const std::string seed = client.Run(old, "x = 1\nhash('carrel')").result();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  std::set<std::string> seeds{seed};
  while (seeds.size() < 3 && std::chrono::steady_clock::now() < deadline) {
    v1::ExecuteRequest request;
    request.set_code("hash('carrel')");
    const Ran ran = client.Execute(request);
    ASSERT_TRUE(ran.status.ok()) << ran.status.error_message();
    seeds.insert(ran.result());
  }
  EXPECT_GE(seeds.size(), 3u) << "two zygotes were replaced meanwhile";
  EXPECT_EQ(client.Run(old, "x, hash('carrel')").result(), "(1, " + seed + ")") << "it outlives its zygote";
  // And its end is told by whoever reaps it now.
  EXPECT_EQ(client.Run(old, "import os; os._exit(5)").outcome.exit_code(), 5);
}

TEST(ARestart, EndsSessionsAndTheirIdsTellIt) {
  auto server = JailedServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  std::string id;
  {
    Client client(grpc::CreateChannel((*server)->address(), grpc::InsecureChannelCredentials()));
    id = client.NewSession({}, "");
    ASSERT_NE(id, "");
    ASSERT_EQ(client.Run(id, "x = 1").outcome.kind(), v1::COMPLETED);
  }
  ASSERT_TRUE((*server)->KillAndRestart().ok());
  Client client(grpc::CreateChannel((*server)->address(), grpc::InsecureChannelCredentials()));
  const Ran ran = client.Run(id, "x");
  EXPECT_EQ(ran.status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(ran.status.error_message(), ::testing::ContainsRegex("it ended at 20..-.*Z: a restart of the service"));
  // And a new one of that name is a new one.
  v1::CreateSessionRequest request;
  request.set_session_id(id);
  grpc::ClientContext context;
  v1::Session session;
  ASSERT_TRUE(client.stub().CreateSession(&context, request, &session).ok());
  EXPECT_EQ(client.Run(id, "'x' in globals()").result(), "False");
}

// A full server makes a request wait, and then tells programs when to come again.
TEST(AFullServer, AnswersResourceExhaustedWithATimeToRetry) {
  auto server = JailedServer::Start({"--set", "interpreter.sessions_max=2", "--set", "interpreter.pool_size=0", "--set",
                                     "interpreter.admission_wait_ms_max=200"});
  ASSERT_TRUE(server.ok()) << server.status();
  Client client(grpc::CreateChannel((*server)->address(), grpc::InsecureChannelCredentials()));
  const std::string first = client.NewSession({}, "greedy");
  ASSERT_NE(client.NewSession({}, "greedy"), "");
  grpc::ClientContext context;
  v1::CreateSessionRequest request;
  request.set_owner("modest");
  v1::Session session;
  const auto since = std::chrono::steady_clock::now();
  const grpc::Status full = client.stub().CreateSession(&context, request, &session);
  EXPECT_GE(std::chrono::steady_clock::now() - since, std::chrono::milliseconds(200));
  EXPECT_EQ(full.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  // google.rpc.Status with a google.rpc.RetryInfo.
  EXPECT_THAT(full.error_details(), HasSubstr("type.googleapis.com/google.rpc.RetryInfo"));
  EXPECT_EQ(context.GetServerTrailingMetadata().count("carrel-error-bin"), 1u);
}

}  // namespace
}  // namespace carrel::testing
