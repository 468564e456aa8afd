// Server-sent events, as the API streams them.
#pragma once

#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace carrel::cli {

class EventStream final {
 public:
  using Handler = absl::FunctionRef<absl::Status(const std::string& event, const std::string& data)>;
  // Bytes as they come; whole events are handed on. An error of the handler ends it; RESOURCE_EXHAUSTED: an event of
  // more than 16 MiB.
  [[nodiscard]] absl::Status Feed(std::string_view bytes, Handler handler);

 private:
  absl::Status TakeLine(std::string_view line, Handler handler);

  std::string line_;   // begun, not ended
  std::string event_;  // of the event that is being read
  std::string data_;
};

}  // namespace carrel::cli
