#include "rpc/watched_serving.h"

#include <string_view>

#include "rpc/log.h"

namespace carrel::rpc {

int ServeWhileItAnswers(Server& server, ShutdownSignals& signals, const std::function<absl::Status()>& check,
                        WatchedServingOptions options) {
  server.SetServing(true);
  int failures = 0;
  while (true) {
    if (const int signal = signals.Wait(options.check_every); signal != 0) return signal;
    const absl::Status status = check();
    if (status.ok()) {
      if (failures >= options.failures_max) {
        server.SetServing(true);
        Log(LogLevel::kWarning, "serving again", {});
      }
      failures = 0;
      continue;
    }
    if (++failures != options.failures_max) continue;
    server.SetServing(false);
    const absl::string_view why = status.message();
    Log(LogLevel::kError, "not serving", {{"why", std::string_view(why.data(), why.size())}});
  }
}

}  // namespace carrel::rpc
