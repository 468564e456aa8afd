#include "metrics.h"

#include <prometheus/client_metric.h>
#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <exception>
#include <map>
#include <utility>

#include "strings.h"

namespace carrel::rpc {
namespace {

// Two threads: one scrape, and one more that finds the first one slow.
constexpr size_t kHttpThreads = 2;

// From a live call (a millisecond) to the longest one (ten minutes).
prometheus::Histogram::BucketBoundaries Buckets() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600};
}

// What the server counts besides calls, asked for at each reading.
class Samples final : public prometheus::Collectable {
 public:
  explicit Samples(std::function<std::vector<Sample>()> ask) : ask_(std::move(ask)) {}

  [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override {
    std::map<std::string, prometheus::MetricFamily> families;
    for (const Sample& sample : ask_ ? ask_() : std::vector<Sample>()) {
      const bool counts = sample.kind == Sample::Kind::kCounter;
      prometheus::MetricFamily& family = families[sample.name];
      family.name = sample.name;
      family.help = sample.help;
      family.type = counts ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
      prometheus::ClientMetric& metric = family.metric.emplace_back();
      (counts ? metric.counter.value : metric.gauge.value) = sample.value;
      for (const auto& [name, value] : sample.labels) metric.label.push_back({name, value});
    }
    std::vector<prometheus::MetricFamily> all;
    for (auto& [name, family] : families) all.push_back(std::move(family));
    return all;
  }

 private:
  const std::function<std::vector<Sample>()> ask_;
};

}  // namespace

struct Metrics::Parts {
  Parts(const std::string& listen, std::function<std::vector<Sample>()> ask)
      : registry(std::make_shared<prometheus::Registry>()),
        calls(prometheus::BuildCounter()
                  .Name("carrel_rpc_calls_total")
                  .Help("Calls that ended, by gRPC status code")
                  .Register(*registry)),
        seconds(prometheus::BuildHistogram()
                    .Name("carrel_rpc_seconds")
                    .Help("Seconds from the start of a call to its end")
                    .Register(*registry)),
        running(prometheus::BuildGauge().Name("carrel_rpc_running").Help("Calls running now").Register(*registry)),
        bytes(prometheus::BuildCounter()
                  .Name("carrel_rpc_bytes_total")
                  .Help("Bytes of messages, serialized")
                  .Register(*registry)),
        samples(std::make_shared<Samples>(std::move(ask))),
        exposer(listen, kHttpThreads) {
    exposer.RegisterCollectable(registry);
    exposer.RegisterCollectable(samples);
  }

  std::shared_ptr<prometheus::Registry> registry;
  prometheus::Family<prometheus::Counter>& calls;
  prometheus::Family<prometheus::Histogram>& seconds;
  prometheus::Family<prometheus::Gauge>& running;
  prometheus::Family<prometheus::Counter>& bytes;
  std::shared_ptr<Samples> samples;
  prometheus::Exposer exposer;
};

Metrics::Metrics(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Metrics::~Metrics() = default;

absl::StatusOr<std::unique_ptr<Metrics>> Metrics::Start(const std::string& listen,
                                                        std::function<std::vector<Sample>()> samples) {
  try {
    return std::unique_ptr<Metrics>(new Metrics(std::make_unique<Parts>(listen, std::move(samples))));
  } catch (const std::exception& error) {
    return absl::UnavailableError(StrCat("the metrics page cannot listen on ", listen, ": ", error.what()));
  }
}

void Metrics::CallStarted(const std::string& method) { parts_->running.Add({{"method", method}}).Increment(); }

void Metrics::CallFinished(const std::string& method, const std::string& code, absl::Duration elapsed,
                           uint64_t bytes_in, uint64_t bytes_out) {
  parts_->running.Add({{"method", method}}).Decrement();
  parts_->calls.Add({{"method", method}, {"code", code}}).Increment();
  parts_->seconds.Add({{"method", method}}, Buckets()).Observe(absl::ToDoubleSeconds(elapsed));
  parts_->bytes.Add({{"method", method}, {"direction", "in"}}).Increment(static_cast<double>(bytes_in));
  parts_->bytes.Add({{"method", method}, {"direction", "out"}}).Increment(static_cast<double>(bytes_out));
}

uint16_t Metrics::port() const {
  const std::vector<int> ports = parts_->exposer.GetListeningPorts();
  return ports.empty() ? 0 : static_cast<uint16_t>(ports.front());
}

}  // namespace carrel::rpc
