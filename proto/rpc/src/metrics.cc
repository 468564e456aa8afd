#include "metrics.h"

#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <exception>
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

}  // namespace

struct Metrics::Parts {
  explicit Parts(const std::string& listen)
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
        exposer(listen, kHttpThreads) {
    exposer.RegisterCollectable(registry);
  }

  std::shared_ptr<prometheus::Registry> registry;
  prometheus::Family<prometheus::Counter>& calls;
  prometheus::Family<prometheus::Histogram>& seconds;
  prometheus::Family<prometheus::Gauge>& running;
  prometheus::Family<prometheus::Counter>& bytes;
  prometheus::Exposer exposer;
};

Metrics::Metrics(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Metrics::~Metrics() = default;

absl::StatusOr<std::unique_ptr<Metrics>> Metrics::Start(const std::string& listen) {
  try {
    return std::unique_ptr<Metrics>(new Metrics(std::make_unique<Parts>(listen)));
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
