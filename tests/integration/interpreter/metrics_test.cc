// The metrics page of a real server: what interpreter/README.md says is there, and moves when it should.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/integration/interpreter/client.h"
#include "tests/integration/interpreter/jailed_server.h"

namespace carrel::testing {
namespace {

namespace v1 = interpreter::v1;

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// One that was free a moment ago.
uint16_t FreePort() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

std::string HttpGet(uint16_t port, const std::string& path) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(port);
  std::string reply;
  const std::string request = "GET " + path + " HTTP/1.0\r\n\r\n";
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
      ::send(fd, request.data(), request.size(), MSG_NOSIGNAL) > 0) {
    char buffer[4096];
    for (ssize_t size = 0; (size = ::recv(fd, buffer, sizeof buffer, 0)) > 0;)
      reply.append(buffer, static_cast<size_t>(size));
  }
  ::close(fd);
  return reply;
}

// What a page says: each series, as it is written, with its value; and each family with its type.
struct Page {
  std::map<std::string, double> series;
  std::map<std::string, std::string> types;
  std::set<std::string> explained;

  [[nodiscard]] double operator[](const std::string& name) const {
    const auto at = series.find(name);
    return at == series.end() ? 0 : at->second;
  }
};

Page Parse(const std::string& text) {
  Page page;
  std::istringstream lines(text.substr(std::min(text.size(), text.find("\r\n\r\n"))));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string hash, what, name;
    if (line.starts_with("# ")) {
      words >> hash >> what >> name;
      if (what == "TYPE") words >> page.types[name];
      if (what == "HELP") page.explained.insert(name);
    } else if (const size_t blank = line.rfind(' '); blank != std::string::npos) {
      page.series[line.substr(0, blank)] = std::strtod(line.c_str() + blank, nullptr);
    }
  }
  return page;
}

std::string Event(const std::string& event) { return "carrel_session_events_total{event=\"" + event + "\"}"; }
std::string Steps(const std::string& step) { return "carrel_session_steps_total{step=\"" + step + "\"}"; }
std::string Calls(const std::string& method, const std::string& code) {
  return "carrel_rpc_calls_total{code=\"" + code + "\",method=\"/carrel.interpreter.v1.CodeInterpreter/" + method +
         "\"}";
}

// The series of the README's table: name -> labels.
std::map<std::string, std::vector<std::string>> Documented() {
  std::map<std::string, std::vector<std::string>> documented;
  std::ifstream readme(CARREL_SOURCE "/interpreter/README.md");
  for (std::string line; std::getline(readme, line);) {
    if (!line.starts_with("| `carrel_")) continue;
    const std::string series = line.substr(3, line.find('`', 3) - 3);
    const size_t brace = std::min(series.find('{'), series.size());
    std::vector<std::string>& labels = documented[series.substr(0, brace)];
    std::istringstream names(series.substr(std::min(brace + 1, series.size())));
    for (std::string label; std::getline(names, label, ',');) labels.push_back(label.substr(0, label.find('}')));
  }
  return documented;
}

class MetricsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    port_ = FreePort();
    auto server = JailedServer::Start(
        {"--set", "interpreter.pool_size=2", "--set", absl::StrCat("interpreter.metrics_listen=127.0.0.1:", port_)});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = std::make_unique<Client>(grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
    // Two of each runtime; a loaded machine makes them in pauses.
    v1::Capabilities capabilities;
    grpc::ClientContext context;
    ASSERT_TRUE(client_->stub().GetCapabilities(&context, {}, &capabilities).ok());
    pool_ = 2.0 * capabilities.runtimes_size();
    ASSERT_TRUE(Await([this](const Page& page) { return page["carrel_pool_ready"] == pool_; })) << "the pool is filled";
  }

  [[nodiscard]] Page Read() const { return Parse(HttpGet(port_, "/metrics")); }
  // What is counted at the end of a call may come a moment after its answer.
  [[nodiscard]] bool Await(const std::function<bool(const Page&)>& condition) const {
    for (int i = 0; i < 1200; ++i) {
      if (condition(Read())) return true;
      absl::SleepFor(absl::Milliseconds(50));
    }
    return false;
  }
  static std::vector<pid_t> ChildrenOf(pid_t pid) {
    std::vector<pid_t> children;
    std::ifstream file(absl::StrCat("/proc/", pid, "/task/", pid, "/children"));
    for (pid_t child = 0; file >> child;) children.push_back(child);
    return children;
  }
  // What zygotes have forked: while there are no sessions, the pool.
  [[nodiscard]] std::vector<pid_t> Interpreters() const {
    std::vector<pid_t> found;
    for (const pid_t below : ChildrenOf(server_->jailer().pid())) {
      for (const pid_t zygote : ChildrenOf(below)) {
        for (const pid_t interpreter : ChildrenOf(zygote)) found.push_back(interpreter);
      }
    }
    return found;
  }

  uint16_t port_ = 0;
  double pool_ = 0;
  std::unique_ptr<JailedServer> server_;
  std::unique_ptr<Client> client_;
};

TEST_F(MetricsTest, APooledStartACallAForkedStartAndKillsMoveWhatTheyShould) {
  const Page before = Read();
  EXPECT_EQ(before["carrel_sessions"], 0);
  EXPECT_GE(before[Event("pool_made")], 2);
  EXPECT_GT(before["carrel_pool_memory_bytes"], 0);

  const std::string pooled = client_->NewSession();
  ASSERT_NE(pooled, "");
  EXPECT_EQ(client_->Run(pooled, "6 * 7").result(), "42");
  ASSERT_TRUE(Await([](const Page& page) { return page[Calls("Execute", "OK")] == 1; }));
  const Page called = Read();
  EXPECT_EQ(called[Event("started_pooled")], before[Event("started_pooled")] + 1);
  EXPECT_EQ(called[Event("started_forked")], before[Event("started_forked")]);
  EXPECT_EQ(called[Steps("start_pooled")], before[Steps("start_pooled")] + 1);
  EXPECT_EQ(called["carrel_sessions"], 1);
  EXPECT_EQ(called[Calls("CreateSession", "OK")], 1);
  const std::string execute = "{method=\"/carrel.interpreter.v1.CodeInterpreter/Execute\"}";
  EXPECT_EQ(called["carrel_rpc_seconds_count" + execute], 1);
  EXPECT_GT(called["carrel_rpc_seconds_sum" + execute], 0);
  EXPECT_LT(called["carrel_rpc_seconds_sum" + execute], 60) << "seconds";
  EXPECT_EQ(called["carrel_rpc_running" + execute], 0);

  v1::Limits limits;
  limits.set_memory_bytes(300 << 20);
  const std::string forked = client_->NewSession(limits);
  ASSERT_NE(forked, "");
  ASSERT_TRUE(
      Await([&](const Page& page) { return page[Event("started_forked")] == before[Event("started_forked")] + 1; }));
  EXPECT_EQ(Read()[Steps("start_forked")], before[Steps("start_forked")] + 1);
  EXPECT_EQ(Read()["carrel_sessions"], 2);

  // A session that is killed is one until it is deleted, and its next call has a code of its own.
  const Ran killed = client_->Run(forked, "import os\nos.kill(os.getpid(), 9)");
  EXPECT_EQ(killed.outcome.kind(), v1::SIGNALLED);
  EXPECT_EQ(client_->Run(forked, "1").status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  ASSERT_TRUE(Await([](const Page& page) { return page[Calls("Execute", "FAILED_PRECONDITION")] == 1; }));
  EXPECT_EQ(Read()[Calls("Execute", "OK")], 2);
  EXPECT_TRUE(client_->Delete(forked));
  EXPECT_TRUE(client_->Delete(pooled));
  ASSERT_TRUE(Await([&](const Page& page) {
    return page["carrel_sessions"] == 0 && page[Steps("end")] == before[Steps("end")] + 2 &&
           page["carrel_pool_ready"] == pool_;
  }));

  // Of the pool, which nobody has: dropped, and made anew.
  const Page full = Read();
  const std::vector<pid_t> interpreters = Interpreters();
  ASSERT_GE(interpreters.size(), 2U);
  for (const pid_t interpreter : interpreters) EXPECT_EQ(::kill(interpreter, SIGKILL), 0);
  ASSERT_TRUE(Await([&](const Page& page) {
    return page[Event("pool_dropped")] >= full[Event("pool_dropped")] + 2 &&
           page[Event("pool_made")] >= full[Event("pool_made")] + 2 && page["carrel_pool_ready"] == pool_;
  }));
  EXPECT_EQ(Read()[Event("start_failed")], 0) << "nobody has noticed";
}

TEST_F(MetricsTest, ThePageHoldsWhatTheReadmeSaysAndNothingElse) {
  const std::string session = client_->NewSession();
  EXPECT_EQ(client_->Run(session, "1").result(), "1");
  EXPECT_TRUE(client_->Delete(session));
  ASSERT_TRUE(
      Await([](const Page& page) { return page[Steps("end")] >= 1 && page[Calls("DeleteSession", "OK")] == 1; }));
  const Page page = Read();
  const auto documented = Documented();
  EXPECT_EQ(documented.size(), 12U);
  std::set<std::string> families;
  for (const auto& [name, type] : page.types) {
    if (name.starts_with("carrel_")) families.insert(name);
    EXPECT_TRUE(page.explained.contains(name)) << name;
  }
  std::set<std::string> names;
  for (const auto& [name, labels] : documented) {
    names.insert(name);
    const auto type = page.types.find(name);
    if (type == page.types.end()) continue;  // said below
    EXPECT_EQ(name.ends_with("_total"), type->second == "counter") << name << " is a " << type->second;
    // One of its series, of a histogram one of its parts.
    std::string series;
    for (const auto& [written, value] : page.series) {
      if (written == name || written.starts_with(name + "{") || written.starts_with(name + "_count{")) series = written;
      EXPECT_GE(value, 0) << written;
    }
    EXPECT_NE(series, "") << name;
    EXPECT_EQ(std::count(series.begin(), series.end(), '='), static_cast<long>(labels.size())) << series;
    for (const std::string& label : labels) EXPECT_THAT(series, ::testing::HasSubstr(label + "=\"")) << name;
  }
  EXPECT_EQ(families, names);
  // Every event is there before it has happened.
  for (const char* event : {"started_pooled", "started_forked", "start_failed", "refused", "expired", "pool_made",
                            "pool_dropped", "pool_failed"}) {
    EXPECT_TRUE(page.series.contains(Event(event))) << event;
  }
  const auto quantile = [&page](const char* step, const char* q) {
    return page[absl::StrCat("carrel_session_step_seconds{quantile=\"", q, "\",step=\"", step, "\"}")];
  };
  for (const char* step : {"jail", "greet", "start_pooled", "end"}) {
    EXPECT_GT(quantile(step, "0.5"), 0) << step;
    EXPECT_LE(quantile(step, "0.5"), quantile(step, "0.95")) << step;
    EXPECT_LE(quantile(step, "0.95"), quantile(step, "0.99")) << step;
    EXPECT_LT(quantile(step, "0.99"), 60) << step << ": seconds";
  }
}

}  // namespace
}  // namespace carrel::testing
