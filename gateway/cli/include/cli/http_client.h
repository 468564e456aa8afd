// HTTP as the commands need it, over libcurl: JSON both ways, files uploaded and downloaded in pieces, streams of
// events, over TCP, TLS or a unix socket.
//
// Not thread-safe: one client per thread. The environment's proxies are used as by curl, but never for this machine.
// Redirects are not followed: the key would follow them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace carrel::cli {

struct HttpTarget {
  std::string url;          // "http://HOST:PORT", without a '/' at its end
  std::string unix_socket;  // "": TCP; else the URL's host is only a name
  std::string key;          // sent as `Authorization: Bearer …`; "": none
  std::string ca_file;      // PEM, instead of the system's authorities
};

struct HttpRequest {
  std::string method = "GET";
  std::string path;  // "/v1/files?limit=100", encoded
  // A body of JSON, when not empty.
  std::string json;
  // A multipart form, when `file` is not empty: the fields, and the file read as it is sent.
  std::vector<std::pair<std::string, std::string>> fields;
  std::string file;
  std::string file_name;                                      // what the server is told
  std::function<void(uint64_t sent, uint64_t all)> progress;  // of the file
  // Gets the body of a 2xx answer in pieces, which then is not kept; an error ends the transfer and is given back.
  std::function<absl::Status(std::string_view)> sink;
  // Called ten times a second or more; an error ends the transfer and is given back.
  std::function<absl::Status()> tick;
  // Until the answer is whole. Streams and transfers: until nothing has come or gone for that long.
  absl::Duration patience = absl::Minutes(2);
};

struct HttpReply {
  int status = 0;
  std::string body;  // at most 64 MiB; "" when the sink got it
};

class HttpClient final {
 public:
  explicit HttpClient(HttpTarget target);
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;
  ~HttpClient();

  // Any status is a reply. UNAVAILABLE: the server cannot be reached, or went away; DEADLINE_EXCEEDED;
  // INVALID_ARGUMENT: the URL, the key or the file is none; RESOURCE_EXHAUSTED: the answer is too large.
  [[nodiscard]] absl::StatusOr<HttpReply> Perform(const HttpRequest& request);

  [[nodiscard]] const HttpTarget& target() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// `text` with everything but letters, digits and -._~ percent-encoded: a segment of a path, a value of a query.
[[nodiscard]] std::string EncodeUrl(std::string_view text);

}  // namespace carrel::cli
