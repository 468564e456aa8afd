// Server-sent events (the WHATWG's "event stream interpretation"), read in bounded memory from pieces cut anywhere.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace carrel::gateway {

struct SseEvent {
  // The `event:` field; empty when there was none ("message" by default).
  std::string_view name;
  // The `data:` lines joined with '\n'.
  std::string_view data;
};

// Not thread-safe. Lines end with LF, CR or CRLF; comments and unknown fields are ignored, as is a BOM at the start;
// an event without data is not delivered; what an end of stream cuts off is not delivered either.
class SseParser final {
 public:
  struct Limits {
    // Bytes of one event with all its lines. One delta of a model has some hundred bytes; a whole answer sent as one
    // event may have many kilobytes.
    std::size_t event_bytes_max = std::size_t{4} << 20;
  };

  explicit SseParser(Limits limits) : limits_(limits) {}

  // Calls `deliver` for each event that `piece` completes; the views live until it returns. RESOURCE_EXHAUSTED when an
  // event grows past its limit; an error of `deliver` ends the parsing and is returned.
  [[nodiscard]] absl::Status Feed(std::string_view piece, const std::function<absl::Status(const SseEvent&)>& deliver);

 private:
  [[nodiscard]] absl::Status EndLine(const std::function<absl::Status(const SseEvent&)>& deliver);

  Limits limits_;
  std::string line_;
  std::string name_;
  std::string data_;
  bool has_data_ = false;
  bool after_cr_ = false;
  bool at_start_ = true;
};

}  // namespace carrel::gateway
