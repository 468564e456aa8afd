// carrel-bench-sandbox: what a session and a call cost, over gRPC on a unix socket, beside a bare fork of the same
// process and bubblewrap with a cold Python. One round measures each of them once, so that load on the machine meets
// all.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sandbox/base/child_process.h"
#include "tests/integration/interpreter/client.h"
#include "tests/integration/interpreter/jailed_server.h"

namespace carrel::testing {
namespace {

using Clock = std::chrono::steady_clock;

double Milliseconds(Clock::time_point since) {
  return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

class Series final {
 public:
  explicit Series(std::string name) : name_(std::move(name)) {}
  void Add(double ms) { values_.push_back(ms); }
  [[nodiscard]] double Quantile(double q) {
    std::sort(values_.begin(), values_.end());
    return values_.empty() ? 0 : values_[static_cast<size_t>(q * static_cast<double>(values_.size() - 1))];
  }
  void Print() {
    std::printf("%-44s p50 %8.2f ms   p95 %8.2f ms   n %zu\n", name_.c_str(), Quantile(0.5), Quantile(0.95),
                values_.size());
  }

 private:
  std::string name_;
  std::vector<double> values_;
};

// baselines.py, in the environment that the manifest gives the zygote.
class Baselines final {
 public:
  static std::optional<Baselines> Start() {
    const std::string runtime = std::string(CARREL_SHARE) + "/runtimes/python";
    SpawnOptions spawn;
    spawn.argv = {"/usr/bin/python3", "-s", "-B", CARREL_BASELINES, runtime + "/driver"};
    spawn.env = {"PYTHONPATH=" + runtime + "/site-packages", "HOME=/tmp"};
    std::ifstream manifest(runtime + "/manifest");
    for (std::string line; std::getline(manifest, line);) {
      if (line.rfind("env ", 0) == 0 && line.rfind("env PYTHONPATH", 0) != 0) spawn.env->push_back(line.substr(4));
    }
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0) return std::nullopt;
    spawn.fds = {{in[0], 0}, {out[1], 1}};
    auto child = ChildProcess::Spawn(spawn);
    ::close(in[0]);
    ::close(out[1]);
    if (!child.ok()) return std::nullopt;
    Baselines baselines(*std::move(child), ::fdopen(in[1], "w"), ::fdopen(out[0], "r"));
    return baselines.Line() == "ready\n" ? std::optional(std::move(baselines)) : std::nullopt;
  }
  [[nodiscard]] double Measure(const char* what) {
    std::fprintf(in_, "%s\n", what);
    std::fflush(in_);
    return std::atof(Line().c_str());
  }

 private:
  Baselines(ChildProcess child, FILE* in, FILE* out) : child_(std::move(child)), in_(in), out_(out) {}
  std::string Line() {
    std::array<char, 64> line{};
    return std::fgets(line.data(), line.size(), out_) != nullptr ? line.data() : "";
  }
  ChildProcess child_;
  FILE* in_;
  FILE* out_;
};

int Main(int rounds) {
  auto server = JailedServer::Start();
  if (!server.ok()) {
    std::cerr << "carrel-bench-sandbox: " << server.status() << '\n';
    return 6;
  }
  auto baselines = Baselines::Start();
  if (!baselines) {
    std::cerr << "carrel-bench-sandbox: the baselines did not start\n";
    return 6;
  }
  Client client(grpc::CreateChannel((*server)->address(), grpc::InsecureChannelCredentials()));
  Series start("session start (CreateSession)");
  Series first("first call in it");
  Series call("live call (1 + 1)");
  Series figure("live call with a figure");
  Series end("session end (DeleteSession)");
  Series fork("bare fork of the same process, until reaped");
  Series bwrap("bubblewrap + cold python -S");
  for (int round = 0; round < rounds; ++round) {
    fork.Add(baselines->Measure("fork"));
    Clock::time_point since = Clock::now();
    const std::string session = client.NewSession();
    start.Add(Milliseconds(since));
    since = Clock::now();
    if (client.Run(session, "import numpy, pandas, scipy.stats, matplotlib.pyplot as plt\n1 + 1").result() != "2")
      return 6;
    first.Add(Milliseconds(since));
    for (int i = 0; i < 10; ++i) {
      since = Clock::now();
      (void)client.Run(session, "1 + 1");
      call.Add(Milliseconds(since));
    }
    if (round % 10 == 0) {
      (void)client.Run(session, "plt.plot([1, 2]); plt.show()");
      since = Clock::now();
      (void)client.Run(session, "plt.plot([1, 2]); plt.show()");
      figure.Add(Milliseconds(since));
      bwrap.Add(baselines->Measure("bwrap"));
    }
    since = Clock::now();
    if (!client.Delete(session)) return 6;
    end.Add(Milliseconds(since));
  }
  for (Series* series : {&start, &first, &call, &figure, &end, &fork, &bwrap}) series->Print();
  std::printf("session start / bare fork: %.2f (p50; at most 2.5 is the aim)\n",
              start.Quantile(0.5) / fork.Quantile(0.5));
  return 0;
}

}  // namespace
}  // namespace carrel::testing

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 100;
  if (rounds <= 0) {
    std::cerr << "usage: carrel-bench-sandbox [ROUNDS]\n";
    return 2;
  }
  return carrel::testing::Main(rounds);
}
