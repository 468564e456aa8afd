#include "rpc/log.h"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <mutex>
#include <string>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "strings.h"
#include "text.h"

namespace carrel::rpc {
namespace {

std::atomic<LogLevel> g_level{LogLevel::kInfo};

constexpr std::array<std::string_view, 5> kLevelNames = {"debug", "info", "warning", "error", "off"};

// Descriptor 2 for one line. A pipe is opened again, for flags of our own: O_NONBLOCK on the inherited one would be
// everybody's who shares it.
class LineEnd final {
 public:
  LineEnd() {
    struct stat facts {};
    if (::fstat(STDERR_FILENO, &facts) != 0 || !S_ISFIFO(facts.st_mode)) return;
    own_ = ::open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  }
  LineEnd(const LineEnd&) = delete;
  LineEnd& operator=(const LineEnd&) = delete;
  ~LineEnd() {
    if (own_ >= 0) ::close(own_);
  }

  // false: nothing, or not all of it, was taken.
  [[nodiscard]] bool Write(std::string_view line) const {
    const int fd = own_ >= 0 ? own_ : STDERR_FILENO;
    while (!line.empty()) {
      pollfd polled{.fd = fd, .events = POLLOUT, .revents = 0};
      if (::poll(&polled, 1, 0) != 1 || (polled.revents & POLLOUT) == 0) return false;
      const ssize_t written = ::write(fd, line.data(), std::min(line.size(), kWriteBytesMax));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return false;
      line.remove_prefix(static_cast<size_t>(written));
    }
    return true;
  }

 private:
  static constexpr size_t kWriteBytesMax = 4096;  // PIPE_BUF: what poll promises
  int own_ = -1;
};

// Nobody waits for stderr: a log whose reader has stopped must not stop the server. What does not fit into a full pipe
// is lost, and how many lines were is the next that fits.
class PatientlessStderr final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const LineEnd end;
    if (lost_ > 0 && !end.Write(LogLine(LogLevel::kWarning, "log lines were lost", {{"lines", lost_}}) + "\n")) {
      ++lost_;
      return;
    }
    lost_ = 0;
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    if (!end.Write({line.data(), line.size()})) ++lost_;
  }
  void flush_() override {}

 private:
  uint64_t lost_ = 0;
};

// The lines come complete from LogLine; spdlog serialises the writers.
spdlog::logger& Sink() {
  static spdlog::logger* const logger = [] {
    auto* made = new spdlog::logger("carrel", std::make_shared<PatientlessStderr>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::trace);
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *logger;
}

std::string ValueText(const LogValue& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) return JsonQuote(*text);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<double>(&value)) {
    return std::isfinite(*number) ? absl::StrFormat("%.3f", *number) : "null";
  }
  if (const auto* number = std::get_if<int64_t>(&value)) return StrCat(*number);
  return StrCat(std::get<uint64_t>(value));
}

}  // namespace

size_t Utf8SequenceLength(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  if (text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  }
  return length;
}

std::string CleanUtf8(std::string_view text, size_t bytes_max) {
  std::string clean;
  while (!text.empty()) {
    const size_t length = Utf8SequenceLength(text);
    const std::string_view piece = length == 0 ? std::string_view("\xEF\xBF\xBD") : text.substr(0, length);
    if (clean.size() + piece.size() > bytes_max) return clean + "…";
    clean.append(piece);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return clean;
}

std::string JsonQuote(std::string_view text) {
  std::string quoted = "\"";
  while (!text.empty()) {
    const size_t length = Utf8SequenceLength(text);
    const auto c = static_cast<unsigned char>(text.front());
    if (length == 0) {
      // Not UTF-8: U+FFFD, as every reader of the line would make of it.
      quoted += "\xEF\xBF\xBD";
      text.remove_prefix(1);
      continue;
    }
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += static_cast<char>(c);
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (c < 0x20 || c == 0x7F) {
      absl::StrAppendFormat(&quoted, "\\u%04x", c);
    } else {
      quoted.append(text.substr(0, length));
    }
    text.remove_prefix(length);
  }
  quoted += '"';
  return quoted;
}

bool ParseLogLevel(std::string_view text, LogLevel& level) {
  for (size_t i = 0; i < kLevelNames.size(); ++i) {
    if (text == kLevelNames[i]) {
      level = static_cast<LogLevel>(i);
      return true;
    }
  }
  return false;
}

void SetLogLevel(LogLevel level) { g_level.store(level, std::memory_order_relaxed); }

std::string LogLine(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  std::string line =
      StrCat("{\"time\":\"", absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone()),
             "\",\"level\":\"", kLevelNames[static_cast<size_t>(level)], "\",\"event\":", JsonQuote(event));
  for (const LogField& field : fields) StrAppend(&line, ",", JsonQuote(field.key), ":", ValueText(field.value));
  line += '}';
  return line;
}

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  const LogLevel least = g_level.load(std::memory_order_relaxed);
  if (level < least || least == LogLevel::kOff || level == LogLevel::kOff) return;
  const std::string line = LogLine(level, event, fields);
  Sink().log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace carrel::rpc
