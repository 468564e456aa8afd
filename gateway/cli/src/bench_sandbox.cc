// carrel bench sandbox: one round measures each thing once, so that a load on the machine meets all of them.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bench_baselines.h"
#include "bench_series.h"
#include "bench_soak.h"
#include "bench_target.h"
#include "cli/bench.h"
#include "rpc/status.h"
#include "strings.h"

namespace carrel::cli {
namespace {

namespace v1 = carrel::interpreter::v1;
using Clock = std::chrono::steady_clock;

constexpr char kImports[] = "import numpy, pandas, scipy.stats, matplotlib.pyplot as plt\n1 + 1";
constexpr int kLiveCalls = 10;       // a round
constexpr uint32_t kSlowEvery = 10;  // rounds: what takes long is measured in every tenth
constexpr double kForkRateSeconds = 2;

double MillisecondsSince(Clock::time_point since) {
  return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

// Bytes, or 0.
uint64_t MemAvailable() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  uint64_t kib = 0;
  std::string unit;
  while (file >> name >> kib >> unit) {
    if (name == "MemAvailable:") return kib << 10;
  }
  return 0;
}

struct Throughput {
  uint32_t concurrency = 0;
  double per_second = 0;
  Series lengths;
};

class Bench final {
 public:
  Bench(BenchTarget& target, const BenchOptions& options, Console& console)
      : target_(target), options_(options), console_(console) {}

  absl::Status Run() {
    if (absl::Status s = StartBaselines(); !s.ok()) return s;
    if (absl::Status s = FindDefaults(); !s.ok()) return s;
    for (uint32_t round = 0; round < options_.rounds; ++round) {
      console_.Progress(StrCat("round ", round + 1, " of ", options_.rounds));
      if (absl::Status s = Round(round); !s.ok()) return s;
    }
    for (const uint32_t concurrency : options_.concurrency) {
      console_.Progress(StrCat("throw-away executions, ", concurrency, " at once"));
      if (absl::Status s = MeasureThroughput(concurrency); !s.ok()) return s;
    }
    if (options_.sessions > 0) {
      console_.Progress(StrCat(options_.sessions, " sessions at once"));
      if (absl::Status s = MeasureMemory(); !s.ok()) return s;
    }
    auto statistics = target_.Statistics();
    if (!statistics.ok()) return statistics.status();
    statistics_ = *std::move(statistics);
    return absl::OkStatus();
  }

  void Print() const {
    console_.Print(
        "milliseconds                                                   p50       p95       p99       max   n");
    for (const Series* series : All()) {
      if (!series->empty()) console_.Print(series->Line());
    }
    if (target_.cold_start_ms() >= 0) {
      Printf("  from the server's start to a first result: %.0f ms", target_.cold_start_ms());
    }
    console_.Print("throw-away executions with numpy, pandas, scipy and matplotlib imported");
    for (const Throughput& t : throughput_) {
      Printf("  %2u at once: %7.1f a second, p50 %.2f ms, p95 %.2f ms%s", t.concurrency, t.per_second,
             t.lengths.Quantile(0.5), t.lengths.Quantile(0.95), "");
    }
    if (ForkRate() > 0) Printf("  bare forks of that process, one after the other: %.1f a second", ForkRate());
    if (sessions_made_ > 0) {
      Printf("%u sessions at once: %.1f MiB by MemAvailable, %.2f MiB each", sessions_made_,
             static_cast<double>(memory_bytes_) / (1 << 20),
             static_cast<double>(memory_bytes_) / (1 << 20) / sessions_made_);
    }
    console_.Print("steps of a session's start and end, in microseconds               p50       p95       max   n");
    for (const auto& step : statistics_.steps()) {
      Printf("  %-54s %9llu %9llu %9llu   %llu", step.step().c_str(), Number(step.p50_us()), Number(step.p95_us()),
             Number(step.max_us()), Number(step.count()));
    }
    for (const auto& [name, value] : Ratios()) Printf("%s: %.2f", name.c_str(), value);
    for (const std::string& note : notes_) console_.Say(note);
  }

  [[nodiscard]] std::string Json() const {
    std::string json = "{\"format\":1,\"series\":{";
    bool first = true;
    const auto comma = [&] { return std::exchange(first, false) ? "" : ","; };
    for (const Series* series : All()) {
      if (!series->empty()) json += comma() + series->Json();
    }
    json += StrCat("},\"cold_start_ms\":", target_.cold_start_ms(), ",\"throughput\":[");
    first = true;
    for (const Throughput& t : throughput_) {
      json += StrCat(comma(), "{\"concurrency\":", t.concurrency, ",\"per_second\":", t.per_second, ",",
                     t.lengths.Json(), "}");
    }
    json += StrCat("],\"bare_forks_per_second\":", ForkRate(), ",\"memory\":{\"sessions\":", sessions_made_,
                   ",\"bytes\":", memory_bytes_, "},\"statistics\":", ToJson(statistics_), ",\"ratios\":{");
    first = true;
    for (const auto& [name, value] : Ratios()) json += StrCat(comma(), "\"", name, "\":", value);
    return json + "}}";
  }

 private:
  static unsigned long long Number(uint64_t number) { return number; }
  template <typename... Args>
  void Printf(const char* format, Args... args) const {
    char line[256];
    std::snprintf(line, sizeof line, format, args...);
    console_.Print(line);
  }

  absl::Status StartBaselines() {
    if (!options_.baselines) return absl::OkStatus();
    // Two processes: a kernel's client has threads, and a fork of that would be another thing.
    for (auto* baselines : {&forks_, &others_}) {
      auto started = Baselines::Start(baselines == &others_ ? options_.jupyter : "");
      if (!started.ok()) return started.status();
      *baselines = *std::move(started);
    }
    return absl::OkStatus();
  }

  // A session that asks for a little more than the default cannot come from the pool.
  absl::Status FindDefaults() {
    auto capabilities = target_.Capabilities();
    if (!capabilities.ok()) return capabilities.status();
    not_pooled_.set_memory_bytes(capabilities->defaults().memory_bytes() + 4096);
    return absl::OkStatus();
  }

  absl::Status Round(uint32_t round) {
    Ask(forks_, "fork", fork_);
    if (target_.AwaitPool() > 0) {
      if (absl::Status s = OneSession({}, pooled_start_, pooled_first_, &live_, round); !s.ok()) return s;
      (void)target_.AwaitPool();  // the next is made while nothing is measured
    }
    Ask(forks_, "fork", fork_);
    if (absl::Status s = OneSession(not_pooled_, forked_start_, forked_first_, nullptr, round); !s.ok()) return s;
    if (round % kSlowEvery != 0) return absl::OkStatus();
    Ask(others_, "bwrap", bwrap_);
    Ask(others_, "bwrap-imports", bwrap_imports_);
    if (options_.jupyter.empty()) return absl::OkStatus();
    Ask(others_, "jupyter", jupyter_start_);
    for (int i = 0; i < kLiveCalls; ++i) Ask(others_, "jupyter-call", jupyter_call_);
    return absl::OkStatus();
  }

  void Ask(const std::unique_ptr<Baselines>& baselines, const char* order, Series& series) {
    if (baselines == nullptr) return;
    if (const auto ms = baselines->Ask(order)) {
      series.Add(*ms);
    } else {
      const std::string note = StrCat(order, " was not measured: ", baselines->why());
      if (std::find(notes_.begin(), notes_.end(), note) == notes_.end()) notes_.push_back(note);
    }
  }

  absl::Status OneSession(const v1::Limits& limits, Series& start, Series& first, Series* live, uint32_t round) {
    const Clock::time_point began = Clock::now();
    const auto session = target_.Create(limits);
    if (!session.ok()) return session.status();
    start.Add(MillisecondsSince(began));
    if (absl::Status s = Expect(target_.Execute(*session, kImports), "2"); !s.ok()) return s;
    first.Add(MillisecondsSince(began));
    for (int i = 0; live != nullptr && i < kLiveCalls; ++i) {
      const Clock::time_point since = Clock::now();
      if (absl::Status s = Expect(target_.Execute(*session, "1 + 1"), "2"); !s.ok()) return s;
      live->Add(MillisecondsSince(since));
    }
    if (live != nullptr && round % kSlowEvery == 0) {
      (void)target_.Execute(*session, "plt.plot([1, 2]); plt.show()");
      const Clock::time_point since = Clock::now();
      (void)target_.Execute(*session, "plt.plot([1, 2]); plt.show()");
      figure_.Add(MillisecondsSince(since));
    }
    const Clock::time_point since = Clock::now();
    if (absl::Status s = target_.Delete(*session); !s.ok()) return s;
    end_.Add(MillisecondsSince(since));
    return absl::OkStatus();
  }

  static absl::Status Expect(const BenchRun& run, std::string_view result) {
    if (!run.status.ok()) {
      return absl::Status(static_cast<absl::StatusCode>(run.status.error_code()), run.status.error_message());
    }
    if (run.result == result) return absl::OkStatus();
    return absl::InternalError(
        StrCat("a call gave \"", run.result, "\" instead of \"", result, "\": ", run.outcome.message()));
  }

  absl::Status MeasureThroughput(uint32_t concurrency) {
    Throughput throughput{.concurrency = concurrency, .lengths = Series("", "execution")};
    AddForkRate();
    std::mutex mutex;
    absl::Status failed;
    const Clock::time_point began = Clock::now();
    const Clock::time_point deadline = began + std::chrono::seconds(options_.seconds);
    std::vector<std::thread> threads;
    uint64_t count = 0;
    for (uint32_t i = 0; i < concurrency; ++i) {
      threads.emplace_back([&] {
        while (Clock::now() < deadline) {
          const Clock::time_point since = Clock::now();
          const absl::Status done = Expect(target_.Execute("", kImports), "2");
          const double ms = MillisecondsSince(since);
          const std::lock_guard lock(mutex);
          if (!done.ok()) failed = done;
          if (!failed.ok()) return;
          throughput.lengths.Add(ms);
          ++count;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    throughput.per_second = static_cast<double>(count) * 1000 / MillisecondsSince(began);
    if (!target_.AwaitNoSessions()) return absl::InternalError("sessions were left after throw-away executions");
    (void)target_.AwaitPool();
    AddForkRate();
    throughput_.push_back(std::move(throughput));
    return failed;
  }

  void AddForkRate() {
    if (forks_ == nullptr) return;
    if (const auto rate = forks_->Ask(StrCat("forks ", kForkRateSeconds))) fork_rates_.push_back(*rate);
  }
  [[nodiscard]] double ForkRate() const {
    double sum = 0;
    for (const double rate : fork_rates_) sum += rate;
    return fork_rates_.empty() ? 0 : sum / static_cast<double>(fork_rates_.size());
  }

  absl::Status MeasureMemory() {
    std::vector<std::string> sessions;
    const uint64_t before = MemAvailable();
    for (uint32_t i = 0; i < options_.sessions; ++i) {
      const auto session = target_.Create();
      if (absl::IsResourceExhausted(session.status())) {
        notes_.push_back(StrCat("only ", i, " sessions at once: ", session.status().message()));
        break;
      }
      if (!session.ok()) return session.status();
      sessions.push_back(*session);
      if (absl::Status s = Expect(target_.Execute(*session, kImports), "2"); !s.ok()) return s;
    }
    (void)target_.AwaitPool();
    const uint64_t after = MemAvailable();
    sessions_made_ = static_cast<uint32_t>(sessions.size());
    memory_bytes_ = before > after ? before - after : 0;
    for (const std::string& session : sessions) {
      if (absl::Status s = target_.Delete(session); !s.ok()) return s;
    }
    return absl::OkStatus();
  }

  [[nodiscard]] std::vector<const Series*> All() const {
    return {&fork_,   &pooled_start_, &pooled_first_, &forked_start_,  &forked_first_,  &live_,
            &figure_, &end_,          &bwrap_,        &bwrap_imports_, &jupyter_start_, &jupyter_call_};
  }

  [[nodiscard]] std::vector<std::pair<std::string, double>> Ratios() const {
    std::vector<std::pair<std::string, double>> ratios;
    const auto add = [&](const char* name, double above, double below) {
      if (above > 0 && below > 0) ratios.emplace_back(name, above / below);
    };
    add("first result from the zygote / bare fork", forked_first_.Quantile(0.5), fork_.Quantile(0.5));
    add("bubblewrap with imports / first result from the pool", bwrap_imports_.Quantile(0.5),
        pooled_first_.Quantile(0.5));
    add("bubblewrap with imports / first result from the zygote", bwrap_imports_.Quantile(0.5),
        forked_first_.Quantile(0.5));
    add("Jupyter kernel with imports / first result from the pool", jupyter_start_.Quantile(0.5),
        pooled_first_.Quantile(0.5));
    add("Jupyter kernel with imports / first result from the zygote", jupyter_start_.Quantile(0.5),
        forked_first_.Quantile(0.5));
    add("Jupyter call / live call", jupyter_call_.Quantile(0.5), live_.Quantile(0.5));
    double best = 0;
    for (const Throughput& t : throughput_) best = std::max(best, t.per_second);
    add("throw-away executions / bare forks, a second", best, ForkRate());
    return ratios;
  }

  BenchTarget& target_;
  const BenchOptions& options_;
  Console& console_;
  std::unique_ptr<Baselines> forks_;
  std::unique_ptr<Baselines> others_;
  v1::Limits not_pooled_;
  Series fork_{"bare fork of the same process, until reaped", "bare_fork"};
  Series pooled_start_{"a session from the pool (CreateSession)", "pooled_start"};
  Series pooled_first_{"  to its first result", "pooled_first_result"};
  Series forked_start_{"a session from the zygote (CreateSession)", "forked_start"};
  Series forked_first_{"  to its first result", "forked_first_result"};
  Series live_{"a call in a live session (1 + 1)", "live_call"};
  Series figure_{"a call with a figure", "figure_call"};
  Series end_{"a session's end (DeleteSession)", "end"};
  Series bwrap_{"bubblewrap + cold python3 -S", "bubblewrap"};
  Series bwrap_imports_{"bubblewrap + cold python3 with the imports", "bubblewrap_imports"};
  Series jupyter_start_{"a Jupyter kernel, to its first result with the imports", "jupyter_start"};
  Series jupyter_call_{"a call in a live Jupyter kernel (1 + 1)", "jupyter_call"};
  std::vector<Throughput> throughput_;
  std::vector<double> fork_rates_;
  uint32_t sessions_made_ = 0;
  uint64_t memory_bytes_ = 0;
  v1::Statistics statistics_;
  std::vector<std::string> notes_;
};

}  // namespace

ExitCode BenchSandbox(const CommonOptions& common, const BenchOptions& options, Console& console) {
  const auto fail = [&console](const absl::Status& status) {
    console.Fail(status);
    return ExitCodeOf(status);
  };
  const auto place = FindPlace(common);
  if (!place.ok()) return fail(place.status());
  auto target = BenchTarget::Open(*place, options);
  if (!target.ok()) return fail(target.status());
  if (options.soak > 0 || options.kills > 0) return Soak(**target, options, console);
  Bench bench(**target, options, console);
  if (absl::Status s = bench.Run(); !s.ok()) return fail(s);
  bench.Print();
  console.PrintJsonText(bench.Json());
  return ExitCode::kOk;
}

}  // namespace carrel::cli
