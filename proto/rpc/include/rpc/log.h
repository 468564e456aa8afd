// JSON lines on stderr, one per event. No bodies, no secrets: callers pass what may be read by an operator.
// Thread-safe.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "absl/status/status.h"

namespace carrel::rpc {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError, kOff };

// "debug", "info", "warning", "error", "off".
[[nodiscard]] bool ParseLogLevel(std::string_view text, LogLevel& level);
// What is below it is not written. Default: kInfo.
void SetLogLevel(LogLevel level);

using LogValue = std::variant<std::string_view, int64_t, uint64_t, double, bool>;
struct LogField {
  std::string_view key;
  LogValue value;
};

// {"time":"…Z","level":"info","event":"<event>", fields…}. Control characters and bytes that are not UTF-8 are
// escaped, so that a line is always one line of valid JSON.
void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});
// The same line as text (what Log writes), for tests and for other sinks.
[[nodiscard]] std::string LogLine(LogLevel level, std::string_view event, std::initializer_list<LogField> fields);

// `text` as a JSON string, quotes included.
[[nodiscard]] std::string JsonQuote(std::string_view text);

}  // namespace carrel::rpc
