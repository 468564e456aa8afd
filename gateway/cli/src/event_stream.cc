#include "event_stream.h"

#include <utility>

namespace carrel::cli {
namespace {

constexpr size_t kEventBytesMax = 16 << 20;

}  // namespace

absl::Status EventStream::Feed(std::string_view bytes, Handler handler) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    line_ += bytes.substr(0, end);
    if (line_.size() + data_.size() > kEventBytesMax) {
      return absl::ResourceExhaustedError("the server sent an event of more than 16 MiB");
    }
    if (end == std::string_view::npos) return absl::OkStatus();
    bytes.remove_prefix(end + 1);
    if (line_.ends_with('\r')) line_.pop_back();
    if (auto status = TakeLine(std::exchange(line_, {}), handler); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status EventStream::TakeLine(std::string_view line, Handler handler) {
  if (line.empty()) {
    const std::string event = std::exchange(event_, {});
    const std::string data = std::exchange(data_, {});
    return event.empty() && data.empty() ? absl::OkStatus() : handler(event, data);
  }
  const size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "event") event_ = value;
  if (field == "data") {
    if (!data_.empty()) data_ += '\n';
    data_ += value;
  }
  return absl::OkStatus();  // comments (the pings) and fields of others
}

}  // namespace carrel::cli
