// One HTTP POST with limits, through libcurl; http_post.cc is the one file that knows it.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace carrel::retrieval {

struct HttpPost {
  std::string url;
  std::string body;  // JSON
  std::string bearer;
  std::string ca_file;
  std::string proxy_url;
  size_t answer_bytes_max = 0;
  absl::Duration connect_max;
  absl::Duration call_max;
};

struct HttpAnswer {
  int status = 0;
  std::string body;
  absl::Duration retry_after;  // zero: not said
};

// UNAVAILABLE: no answer. FAILED_PRECONDITION: the answer is longer than the limit. A status of any kind is an answer.
[[nodiscard]] absl::StatusOr<HttpAnswer> Post(const HttpPost& post);

}  // namespace carrel::retrieval
