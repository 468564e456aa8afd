// Counters of calls, and the page on which Prometheus reads them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/server.h"

namespace carrel::rpc {

// carrel_rpc_calls_total{method,code}, carrel_rpc_seconds{method}, carrel_rpc_running{method},
// carrel_rpc_bytes_total{method,direction}. Thread-safe.
class Metrics final {
 public:
  // `listen`: "HOST:PORT". `samples` may be unset. UNAVAILABLE when it cannot be bound.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Metrics>> Start(const std::string& listen,
                                                                      std::function<std::vector<Sample>()> samples);
  ~Metrics();

  void CallStarted(const std::string& method);
  void CallFinished(const std::string& method, const std::string& code, absl::Duration elapsed, uint64_t bytes_in,
                    uint64_t bytes_out);
  [[nodiscard]] uint16_t port() const;

 private:
  struct Parts;
  explicit Metrics(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace carrel::rpc
