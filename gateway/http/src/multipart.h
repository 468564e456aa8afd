// Reads multipart/form-data as it comes in, in constant memory: RFC 7578, and what clients make of it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace carrel::gateway::http {

struct PartHeader {
  std::string name;
  std::string filename;  // valid UTF-8
  bool is_file = false;  // a filename was given, be it empty
};

// What a part is made of, in order. A status that is not OK ends the reading and is returned.
struct PartSink {
  std::function<absl::Status(const PartHeader&)> begin;
  std::function<absl::Status(std::string_view)> data;
  std::function<absl::Status()> end;
};

class MultipartReader {
 public:
  MultipartReader(std::string boundary, PartSink sink);

  // The next bytes of the body. INVALID_ARGUMENT: this is not a form.
  absl::Status Feed(std::string_view bytes);
  // The body is over. INVALID_ARGUMENT when the form is not.
  absl::Status Finish() const;

 private:
  enum class State { kPreamble, kBoundary, kHeaders, kBody, kEnd };

  // Consumes what it can of the buffer; false: more bytes are needed.
  bool Step(absl::Status& status);
  // Whether a word of this length, found `at` (npos: not yet), stands after at_max; the same wherever the bytes are
  // cut.
  bool TooFar(size_t at, size_t length, size_t at_max) const;
  bool StepBoundary(absl::Status& status);
  bool StepHeaders(absl::Status& status);
  bool StepBody(absl::Status& status);

  std::string delimiter_;  // "\r\n--<boundary>"
  PartSink sink_;
  State state_ = State::kPreamble;
  std::string buffer_;
};

// The boundary of a Content-Type, quoted or not; "" when it is not multipart/form-data or has none.
std::string BoundaryOf(std::string_view content_type);

}  // namespace carrel::gateway::http
